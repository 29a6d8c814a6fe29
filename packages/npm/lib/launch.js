"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const POLL_MS = 10;

/** How much of the broker's log an error shows. */
const LOG_CHARACTERS = 8_000;

/** Return the command of the broker as a list: as asked for, AMQPBROKER_COMMAND, `amqpbroker`, or a Python module. */
function findCommand(asked = process.env.AMQPBROKER_COMMAND) {
  if (Array.isArray(asked)) return asked;
  if (asked) return words(asked);
  if (onPath("amqpbroker")) return ["amqpbroker"];
  const python = ["python3", "python"].find(onPath);
  if (python) return [python, "-m", "amqpbroker"];
  throw new Error(
    "amqpbroker was not found: install it with `pip install amqpbroker`, or set AMQPBROKER_COMMAND to its command",
  );
}

/** Split a command at its spaces, except within quotes. */
function words(command) {
  return [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, plain]) => double ?? single ?? plain);
}

function onPath(program) {
  const endings = process.platform === "win32" ? (process.env.PATHEXT ?? ".EXE").split(";") : [""];
  const directories = (process.env.PATH ?? "").split(path.delimiter).filter(Boolean);
  return directories.some((directory) => endings.some((ending) => isFile(path.join(directory, program + ending))));
}

function isFile(name) {
  try {
    return fs.statSync(name).isFile();
  } catch {
    return false;
  }
}

/**
 * Start a broker process and wait until clients can connect. Return the process and the content of its ready file.
 *
 * The process does not keep Node.js alive, and is killed when Node.js exits.
 */
async function launch({ command, args, env, timeout, onLog }) {
  const [program, ...first] = findCommand(command);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "amqpbroker-"));
  const readyFile = path.join(directory, "ready.json");
  const child = spawn(program, [...first, ...args, "--ready-file", readyFile], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
    windowsHide: true,
  });
  let log = "";
  let failure;
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text) => {
    log = (log + text).slice(-LOG_CHARACTERS);
    onLog?.(text);
  });
  child.on("error", (error) => (failure = error));
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => {
    process.removeListener("exit", kill);
    fs.rmSync(directory, { recursive: true, force: true });
  });
  const until = Date.now() + timeout;
  for (;;) {
    const ready = readJson(readyFile);
    if (ready) {
      child.unref();
      child.stderr.unref();
      return { child, ready };
    }
    const ended = failure ? failure.message : exitOf(child);
    if (ended || Date.now() > until) {
      kill();
      fs.rmSync(directory, { recursive: true, force: true });
      const what = ended ?? `it was not ready after ${timeout} ms`;
      throw new Error(`${[program, ...first].join(" ")} did not start: ${what}\n${log}`.trimEnd());
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function exitOf(child) {
  if (child.exitCode !== null) return `it exited with status ${child.exitCode}`;
  return child.signalCode === null ? undefined : `it was ended by ${child.signalCode}`;
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return undefined; // not there yet
  }
}

/** End a process: ask it to stop, and kill it if it is still there after `grace` milliseconds. */
async function end(child, grace) {
  if (exitOf(child)) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.ref();
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), grace);
  await exited;
  clearTimeout(timer);
}

module.exports = { end, findCommand, launch, words };
