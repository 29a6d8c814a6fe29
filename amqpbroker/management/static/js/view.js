// The view library: preact, its hooks, and htm instead of JSX. Script elements load them before this module.

const { h, render, Fragment, createContext } = globalThis.preact;
const { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId } = globalThis.preactHooks;

/** The theme. js/theme.js applies it before the browser draws anything. */
export const theme = globalThis.amqpbrokerTheme;

export const html = globalThis.htm.bind(h);
export {
  h, render, Fragment, createContext,
  useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId,
};
