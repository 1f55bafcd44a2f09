// Shared code of the pages beside the chat: a connection that is opened again, and a canvas that fits its stage.
"use strict";

const at = (id) => document.getElementById(id);

// Exponential backoff with full jitter: the clients of a lost server do not all come back at once.
const FIRST_DELAY = 500;
const LAST_DELAY = 30_000;
const STABLE = 10_000;

// Keeps a connection to an endpoint, and calls `receive` with each text. Returns a function that sends.
function keepConnected(path, receive, lost = () => {}) {
  let socket = null;
  let attempts = 0;
  let timer = 0;

  function connect() {
    clearTimeout(timer);
    showState("connecting");
    const url = new URL(path, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const mine = new WebSocket(url);
    socket = mine;
    let opened = 0;
    mine.onopen = () => { opened = Date.now(); showState("open"); };
    mine.onmessage = ({ data }) => { if (mine === socket) receive(data); };
    mine.onclose = ({ reason }) => {
      if (mine !== socket) return;
      socket = null;
      lost();
      if (opened && Date.now() - opened > STABLE) attempts = 0;
      showState("waiting", reason || "reconnecting");
      timer = setTimeout(connect, Math.random() * Math.min(LAST_DELAY, FIRST_DELAY * 2 ** attempts));
      attempts += 1;
    };
  }

  // The browser may keep a page, and its connection, after the user leaves it.
  window.addEventListener("pagehide", () => {
    clearTimeout(timer);
    const old = socket;
    socket = null;
    old?.close(1000);
  });
  window.addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    lost();
    connect();
  });
  window.addEventListener("online", () => { if (!socket) connect(); });
  connect();
  return (text) => {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(text);
    return true;
  };
}

function showState(state, text = state) {
  at("pill").dataset.state = state;
  if (at("state").textContent !== text) at("state").textContent = text;
}

// Makes the sheet as large as its stage allows, in the ratio of width to height. Calls `draw` after each change.
function fit(sheet, width, height, draw) {
  const stage = sheet.parentElement;
  const resize = () => {
    const room = Math.min((stage.clientWidth - 4) / width, (stage.clientHeight - 4) / height);
    const scale = Math.max(room, .01);
    sheet.style.width = `${Math.floor(width * scale)}px`;
    sheet.style.height = `${Math.floor(height * scale)}px`;
    const dots = Math.min(window.devicePixelRatio || 1, 3);
    for (const canvas of sheet.querySelectorAll("canvas")) {
      canvas.width = Math.max(1, Math.round(Math.floor(width * scale) * dots));
      canvas.height = Math.max(1, Math.round(Math.floor(height * scale) * dots));
    }
    draw();
  };
  new ResizeObserver(resize).observe(stage);
  resize();
}
