// The view library: preact, its hooks, and htm instead of JSX. They are loaded before this by plain script elements.

const { h, render, Fragment, createContext } = globalThis.preact;
const { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId } = globalThis.preactHooks;

export const html = globalThis.htm.bind(h);
export {
  h, render, Fragment, createContext,
  useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId,
};
