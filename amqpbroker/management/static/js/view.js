// The view library: preact, its hooks, and htm instead of JSX. They are loaded before this by plain script elements.

const { h, render, Fragment, createContext } = globalThis.preact;
const { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId } = globalThis.preactHooks;

/** The theme, which js/theme.js applies before anything is drawn. */
export const theme = globalThis.amqpbrokerTheme;

export const html = globalThis.htm.bind(h);
export {
  h, render, Fragment, createContext,
  useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId,
};
