// Data of the API that is read repeatedly while it is on the screen.

import { useState, useEffect, useRef, useCallback, useContext, createContext } from "./view.js";

/** {interval_ms, setInterval_ms}: the interval at which data is read again; 0 for never. */
export const Refresh = createContext({ interval_ms: 5000 });

export const INTERVALS = [[1000, "every second"], [5000, "every 5 s"], [30000, "every 30 s"], [0, "paused"]];

/**
 * The result of `load(signal)`, read again at the interval and whenever `key` changes.
 * Returns {data, error, loading, reload}. Data stays while it is read again and after an error; with `keep` also while
 * that of another key is read, so that a list does not blink when it is sorted.
 */
export function useLive(key, load, { keep = false } = {}) {
  const { interval_ms } = useContext(Refresh);
  const [state, setState] = useState({ key: null, data: null, error: null });
  const current = useRef(load);
  current.current = load;
  const reloader = useRef(() => {});

  useEffect(() => {
    let timer = 0;
    let controller = null;

    async function read() {
      clearTimeout(timer);
      controller?.abort();
      const mine = new AbortController();
      controller = mine;
      try {
        const data = await current.current(mine.signal);
        if (!mine.signal.aborted) setState({ key, data, error: null });
      } catch (error) {
        if (!mine.signal.aborted) setState((old) => ({ key, data: old.key === key ? old.data : null, error }));
      }
      if (!mine.signal.aborted && interval_ms > 0) timer = setTimeout(again, interval_ms);
    }

    function again() {
      if (!document.hidden) read();
    }

    // A page in the background sends no requests, and reads its data when it is visible again.
    const shown = () => {
      if (!document.hidden && interval_ms > 0) read();
    };
    document.addEventListener("visibilitychange", shown);
    reloader.current = read;
    read();
    return () => {
      clearTimeout(timer);
      controller?.abort();
      document.removeEventListener("visibilitychange", shown);
    };
  }, [key, interval_ms]);

  const reload = useCallback(() => reloader.current(), []);
  const fresh = state.key === key;
  return { data: fresh || keep ? state.data : null, error: fresh ? state.error : null, loading: !fresh, reload };
}
