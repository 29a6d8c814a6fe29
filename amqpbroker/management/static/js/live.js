// Data that the page reads from the API and refreshes while it shows them.

import { useState, useEffect, useRef, useCallback, useContext, createContext } from "./view.js";

/** {interval_ms, setInterval_ms}: the interval of the refresh; 0 means never. */
export const Refresh = createContext({ interval_ms: 5000 });

export const INTERVALS = [[1000, "every second"], [5000, "every 5 s"], [30000, "every 30 s"], [0, "paused"]];

/**
 * Calls `load(signal)` at the interval and whenever `key` changes. Returns {data, error, loading, reload}. The data stay
 * during a refresh and after an error. With `keep` they also stay while the data of a new key are read, so that a list does
 * not flicker when the user sorts it.
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

    // A page in the background sends no requests. It refreshes when the user returns to it.
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
