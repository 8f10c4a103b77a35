// Uploads to a collection: dropped or chosen files, one after the other, each with its progress or why it failed.
"use strict";
(() => {
  const drop = document.getElementById("drop"), files = document.getElementById("files");
  const list = document.getElementById("uploads");

  const send = (file, line) => new Promise((then) => {
    const request = new XMLHttpRequest();
    const path = encodeURIComponent(file.webkitRelativePath || file.name);
    request.open("POST", drop.dataset.url + "?path=" + path);
    request.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => {
      const done = event.loaded === event.total;
      line.textContent = file.name + ": " + (done ? drop.dataset.reading : Math.round(100 * event.loaded / event.total) + " %");
    });
    request.addEventListener("load", () => {
      const good = request.status === 201;
      line.className = good ? "good" : "problem";
      line.textContent = file.name + ": " + (good ? drop.dataset.done + " " : "") + request.responseText.slice(0, 500);
      then();
    });
    request.addEventListener("error", () => {
      line.className = "problem";
      line.textContent = file.name + ": " + document.body.dataset.offline;
      then();
    });
    request.send(file);
  });

  const all = async (chosen) => {
    const waiting = [...chosen].map((file) => {
      const line = document.createElement("li");
      line.textContent = file.name;
      list.append(line);
      return [file, line];
    });
    for (const [file, line] of waiting) await send(file, line);
  };

  files.addEventListener("change", () => { all(files.files); });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    all(event.dataTransfer.files);
  });
})();
