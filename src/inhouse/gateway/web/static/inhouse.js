// What all pages share: a notice where a request by script failed, and the token that such requests bring.
"use strict";
(() => {
  const notice = document.getElementById("notice");
  let hiding = 0;

  const tell = (text) => {
    notice.textContent = text;
    notice.hidden = false;
    clearTimeout(hiding);
    hiding = setTimeout(() => { notice.hidden = true; }, 8000);
  };

  // fetch() with the token; throws an Error with the gateway's own words where it refuses.
  const ask = async (url, options = {}) => {
    const headers = { "X-CSRF-Token": document.body.dataset.csrf, ...options.headers };
    let answer;
    try {
      answer = await fetch(url, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error(document.body.dataset.offline);
    }
    if (answer.status === 401) location.assign("/ui/sign-in?next=" + encodeURIComponent(location.pathname));
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  };

  document.addEventListener("htmx:responseError", (event) => tell(event.detail.xhr.responseText.slice(0, 500)));
  document.addEventListener("htmx:sendError", () => tell(document.body.dataset.offline));
  window.inhouse = { tell, ask };
})();
