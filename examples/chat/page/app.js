// The page of the chat. It has three parts: Rpc, which speaks JSON-RPC 2.0 over
// one WebSocket; the connection, which is made again whenever it is lost; and
// what is to be seen. All text of others is set as textContent, never as HTML.

// ---- JSON-RPC 2.0

/** An error that the server has answered. */
class RpcError extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/**
 * One connection, from its opening to its end. Its events are 'open', 'close'
 * (detail: code and reason), and the notifications of the server, each under
 * the name of its method (detail: the params).
 */
class Rpc extends EventTarget {
  #socket;
  #calls = new Map(); // by id: what settles the promise
  #lastId = 0;

  constructor(url) {
    super();
    this.#socket = new WebSocket(url, ['wireroom.v1.json']);
    this.#socket.onopen = () => this.#emit('open');
    this.#socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    this.#socket.onclose = (event) => this.#end(event.code, event.reason);
  }

  /** Calls a method. The promise rejects with an RpcError, or when the connection ends first. */
  call(method, params) {
    return new Promise((resolve, reject) => {
      if (this.#socket.readyState !== WebSocket.OPEN) throw new Error('not connected');
      const id = ++this.#lastId;
      this.#calls.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ jsonrpc: '2.0', method, params, id }));
    });
  }

  /** Closes the connection, and does not wait for a server that may be out of reach. The reason is for 'close' only. */
  close(code = 1000, reason = '') {
    this.#socket.close(code);
    this.#end(code, reason);
  }

  #receive({ id, method, params, result, error }) {
    if (method !== undefined) {
      this.#emit(method, params);
      return;
    }
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) call?.reject(new RpcError(error));
    else call?.resolve(result);
  }

  #end(code, reason) {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    for (const call of this.#calls.values()) call.reject(new Error('the connection was lost'));
    this.#calls.clear();
    this.#emit('close', { code, reason });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// ---- the connection

const SILENCE_MS = 15_000; // the server ticks every second: after this the network is gone
const STEADY_MS = 10_000; // a connection that has lasted so long was a good one

let want = null; // { name, room } to be in; null while there is none
let rpc = null; // the connection there is, or that is being made
let early = null; // pushes that have come before the answer of the join; null after it
let attempts = 0; // since the last good connection
let joinedAt = 0; // when we were last let into the room
let retryTimer, countdownTimer, silenceTimer;

const pushes = {
  message: showMessage,
  whisper: showMessage,
  joined: ({ name, time }) => {
    members.add(name);
    showMembers();
    showLine(`${name} joined`, time);
  },
  left: ({ name, time }) => {
    members.delete(name);
    showMembers();
    showLine(`${name} left`, time);
  },
  tick: (tick) => {
    listen();
    showClock(tick);
  },
};

function connect() {
  stopTimers();
  setState('connecting', 'Connecting…');
  const url = new URL('ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const mine = (rpc = new Rpc(url));
  early = [];
  for (const [method, show] of Object.entries(pushes)) {
    mine.addEventListener(method, ({ detail }) => (early ? early.push(() => show(detail)) : show(detail)));
  }
  mine.addEventListener('open', () => join(mine));
  mine.addEventListener('close', ({ detail }) => mine === rpc && lost(detail));
  listen();
}

async function join(mine) {
  try {
    const joined = await mine.call('join_room', want);
    if (mine !== rpc) return;
    joinedAt = Date.now();
    showRoom(joined);
    for (const show of early) show();
    early = null;
    setState('online', 'Connected');
  } catch (err) {
    if (mine !== rpc) return; // lost, which 'close' has told
    if (joinedAt && err instanceof RpcError) {
      // We have been in this room. As a rule the name is taken, by ourselves:
      // the server has not noticed yet that the connection before is gone.
      mine.close(4000, capital(err.message));
    } else {
      leave(capital(err.message));
    }
  }
}

/** The connection has ended: say so, and make another, a little later each time. */
function lost({ code, reason }) {
  rpc = null;
  stopTimers();
  const wasIn = early === null;
  if (wasIn) showLine('Connection lost');
  if (code === 1008) {
    setState('refused', 'Refused by the server' + (reason ? `: ${reason}` : ''));
    return;
  }
  if (wasIn && Date.now() - joinedAt > STEADY_MS) attempts = 0;
  // Chance keeps the pages of a restarted server from all coming back at once.
  const wait = 250 + Math.random() * Math.min(15_000, 500 * 2 ** attempts++);
  const why = { 1001: 'The server is restarting.', 4508: 'This connection was too slow.' }[code];
  setState('waiting', why ?? (reason ? `${reason}.` : 'No connection.'));
  const at = Date.now() + wait;
  const count = () => (ui.countdown.textContent = `Trying again in ${Math.ceil((at - Date.now()) / 1000)} s`);
  count();
  countdownTimer = setInterval(count, 1000);
  retryTimer = setTimeout(connect, wait);
}

/** Takes a connection for lost if nothing comes for a while. */
function listen() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(() => rpc?.close(4000, 'Nothing is heard of the server'), SILENCE_MS);
}

function stopTimers() {
  clearTimeout(retryTimer);
  clearInterval(countdownTimer);
  clearTimeout(silenceTimer);
}

/** Goes back to the form. */
function leave(notice = '') {
  const was = rpc;
  rpc = want = null;
  was?.close();
  stopTimers();
  joinedAt = attempts = 0;
  setState('idle', '');
  ui.chat.hidden = true;
  ui.welcome.hidden = false;
  ui.welcomeNotice.textContent = notice;
  document.title = 'Wireroom chat';
  ui.name.focus();
}

function enter(name, room) {
  const was = rpc;
  rpc = null;
  was?.close();
  joinedAt = attempts = lastId = 0;
  want = { name, room };
  ui.to.value = '';
  ui.log.replaceChildren();
  connect();
}

// ---- what is to be seen

const ids = ['welcome', 'join', 'name', 'room', 'enter', 'welcome-notice', 'chat', 'title', 'state-text', 'countdown',
  'retry', 'leave', 'count', 'members', 'clock', 'log', 'newer', 'composer', 'to', 'text', 'send', 'notice'];
const ui = Object.fromEntries(ids.map((id) => [id.replace(/-(.)/, (_, c) => c.toUpperCase()), document.getElementById(id)]));
const members = new Set();
let lastId = 0; // of the messages that are shown
let atEnd = true; // the end of the log is in sight, and stays there

/** Makes an element. Strings among its children become text. */
function element(tag, properties, ...children) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

function setState(state, text) {
  ui.chat.dataset.state = state;
  ui.stateText.textContent = text;
  ui.countdown.textContent = '';
  ui.retry.hidden = state !== 'waiting' && state !== 'refused';
  ui.enter.disabled = state === 'connecting';
  ui.enter.textContent = ui.enter.disabled ? 'Joining…' : 'Join';
  ui.welcomeNotice.textContent = joinedAt ? '' : { waiting: `${text} Trying again…`, refused: text }[state] ?? '';
  const online = state === 'online';
  const focused = [ui.text, ui.send, document.body].includes(document.activeElement);
  for (const control of [ui.text, ui.send, ui.to]) control.disabled = !online;
  ui.text.placeholder = online ? 'Message' : 'Not connected';
  if (online && focused) ui.text.focus();
}

function showRoom({ room, name, members: names, history }) {
  want = { name, room };
  remember('wireroom.name', name);
  remember('wireroom.room', room);
  if (roomOfHash() !== room) setHash(room);
  document.title = `#${room} · Wireroom chat`;
  ui.title.textContent = room;
  ui.welcome.hidden = true;
  ui.chat.hidden = false;
  members.clear();
  for (const m of names) members.add(m);
  showMembers();
  const again = ui.log.childElementCount > 0;
  if (again && history.length === 50 && history[0].id > lastId) showLine('Some messages in between may be missing');
  for (const m of history) showMessage(m);
  showLine(again ? 'Connected again' : `You joined as ${name}`);
}

function showMembers() {
  const names = [...members].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  ui.count.textContent = names.length;
  ui.members.replaceChildren(...names.map((name) => {
    const you = name === want.name ? [element('small', {}, 'you')] : [];
    return element('li', {}, avatar(name), element('bdi', {}, name), ...you);
  }));
  // Whoever is chosen stays chosen, also when gone: a private text must not go
  // to everyone because of that.
  const to = ui.to.value;
  const others = names.filter((n) => n !== want.name).map((n) => new Option(n, n));
  if (to && !members.has(to)) others.push(new Option(`${to} (gone)`, to));
  ui.to.replaceChildren(new Option('Everyone', ''), ...others);
  ui.to.value = to;
}

/** Shows a message or a whisper. Those of a room come in order of their ids; one that is here already is not shown again. */
function showMessage({ id, from, to, text, time }) {
  if (!to) {
    if (id <= lastId) return;
    lastId = id;
  }
  const mine = from === want.name;
  const label = !to ? from : mine ? `You to ${to}, in private` : `${from} to you, in private`;
  const key = `${from} > ${to ?? ''} ${time.slice(0, 16)}`; // of one person, in one minute
  const item = element('li', { className: 'message' },
    avatar(from),
    element('div', { className: 'bubble' },
      element('p', { className: 'meta' }, element('bdi', { className: 'author' }, mine && !to ? 'You' : label), ' ', timeOf(time)),
      element('p', { className: 'text', dir: 'auto' }, text)));
  item.classList.toggle('mine', mine);
  item.classList.toggle('whisper', Boolean(to));
  item.classList.toggle('again', ui.log.lastElementChild?.dataset.key === key);
  item.dataset.key = key;
  add(item, mine);
}

/** Shows a line about what has happened. */
function showLine(text, time = new Date()) {
  add(element('li', { className: 'line' }, element('bdi', {}, text), ' ', timeOf(time)));
}

/** Adds to the log, and keeps its end in sight, unless somebody reads further up. */
function add(item, mustSee = false) {
  atEnd = mustSee || nearEnd();
  ui.log.append(item);
  while (ui.log.childElementCount > 500) ui.log.firstChild.remove();
  ui.newer.hidden = atEnd;
  toEnd();
}

const nearEnd = () => ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < 60;

function toEnd() {
  if (atEnd) ui.log.scrollTop = ui.log.scrollHeight;
}

function showClock({ time, uptime, people }) {
  const [days, hours, minutes] = [uptime / 86_400, (uptime / 3600) % 24, (uptime / 60) % 60].map(Math.floor);
  const up = days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${uptime} s`;
  ui.clock.textContent = `Server ${new Date(time).toLocaleTimeString()}, up ${up}`;
  ui.count.textContent = people;
}

function avatar(name) {
  const e = element('span', { className: 'avatar', ariaHidden: 'true' }, [...name][0].toUpperCase());
  let hue = 0;
  for (const c of name) hue = (hue * 67 + c.codePointAt(0)) % 360;
  e.style.setProperty('--hue', (hue * 137) % 360); // so that names that are alike differ in color
  return e;
}

function timeOf(time) {
  const t = new Date(time);
  return element('time', { dateTime: t.toISOString(), title: t.toLocaleString() },
    t.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

// ---- what the user does

ui.join.addEventListener('submit', (event) => {
  event.preventDefault();
  enter(ui.name.value.trim(), ui.room.value.trim());
});

// The text stays where it is until the server has taken it.
ui.composer.addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = ui.text.value;
  const to = ui.to.value;
  if (!text.trim() || ui.text.readOnly || !rpc) return;
  ui.text.readOnly = ui.send.disabled = true;
  ui.notice.textContent = '';
  try {
    if (to) showMessage(await rpc.call('whisper', { room: want.room, to, text }));
    else await rpc.call('say', { room: want.room, text });
    ui.text.value = '';
    fit();
  } catch (err) {
    ui.notice.textContent = err instanceof RpcError ? `Not sent: ${err.message}.` : `Perhaps not sent: ${err.message}.`;
  } finally {
    ui.text.readOnly = false;
    ui.send.disabled = ui.text.disabled;
  }
});

ui.text.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ui.composer.requestSubmit();
});

/** Makes the box as high as its text. */
function fit() {
  ui.text.style.height = 'auto';
  if (ui.text.value) ui.text.style.height = `${ui.text.scrollHeight + 2}px`;
}
ui.text.addEventListener('input', fit);

ui.leave.addEventListener('click', () => leave());
ui.retry.addEventListener('click', connect);
ui.newer.addEventListener('click', () => (ui.log.scrollTop = ui.log.scrollHeight));
ui.log.addEventListener('scroll', () => {
  atEnd = nearEnd();
  if (atEnd) ui.newer.hidden = true;
});
new ResizeObserver(toEnd).observe(ui.log); // it shrinks when the box below it grows

// The network is back: no need to wait for the timer.
addEventListener('online', () => ui.chat.dataset.state === 'waiting' && connect());

// ---- the room in the address, and what is remembered

const roomOfHash = () => {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim();
  } catch {
    return '';
  }
};
const setHash = (room) => history.replaceState(null, '', `#${encodeURIComponent(room)}`);

addEventListener('hashchange', () => {
  const room = roomOfHash();
  ui.room.value = room;
  if (want && room && room !== want.room) enter(want.name, room);
});

// Browsers can be told to keep nothing; then nothing is remembered.
function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {}
}
function recall(key) {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

ui.name.value = recall('wireroom.name');
ui.room.value = roomOfHash() || recall('wireroom.room') || 'lobby';
(ui.name.value ? ui.enter : ui.name).focus();
