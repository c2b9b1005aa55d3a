"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const find = (id) => document.getElementById(id);
  const store = `portraitist-study-${study.digest}`;
  let session = null;
  let since = 0;

  // A generator of random numbers in [0, 1) from a seed of 32 bits (mulberry32).
  function chance(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(list, random) {
    const all = [...list];
    for (let k = all.length - 1; k > 0; k--) {
      const other = Math.floor(random() * (k + 1));
      [all[k], all[other]] = [all[other], all[k]];
    }
    return all;
  }

  // What a session is asked, in its order; drawings in another order each time.
  function plan(seed) {
    const random = chance(seed);
    const chosen = shuffled(study.questions.keys(), random).slice(0, study.perRater);
    return chosen.flatMap((question) => [...study.asks.keys()].map((ask) => ({
      question, ask, shown: shuffled(study.questions[question].options.map((o) => o.mark), random),
    })));
  }

  function begun() {
    const numbers = crypto.getRandomValues(new Uint32Array(3));
    const name = [...numbers.slice(0, 2)].map((n) => n.toString(16).padStart(8, "0")).join("");
    return { session: name, seed: numbers[2], answers: [] };
  }

  function remember() {
    try {
      localStorage.setItem(store, JSON.stringify(session));
    } catch { /* A browser may forbid it: the answers then live as long as the page. */ }
  }

  function remembered() {
    try {
      const found = JSON.parse(localStorage.getItem(store));
      return found && Array.isArray(found.answers) && found.answers.length ? found : null;
    } catch {
      return null;
    }
  }

  function show(id) {
    for (const section of ["welcome", "asking", "done"]) find(section).hidden = section !== id;
  }

  function ask() {
    const steps = plan(session.seed);
    const at = session.answers.length;
    if (at >= steps.length) {
      show("done");
      find("saved").textContent = "";
      find("next").disabled = true;
      find("thanks").focus();
      return;
    }
    const step = steps[at];
    const question = study.questions[step.question];
    show("asking");
    find("place").textContent = `Question ${at + 1} of ${steps.length}`;
    find("progress").max = steps.length;
    find("progress").value = at;
    find("ask").textContent = study.asks[step.ask];
    find("photo").src = question.photo;
    find("back").disabled = at === 0;
    find("options").replaceChildren(...step.shown.map((mark, k) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const picture = document.createElement("img");
      button.type = "button";
      picture.src = question.options.find((o) => o.mark === mark).picture;
      picture.alt = "";
      button.append(picture, `Drawing ${k + 1}`);
      button.addEventListener("click", () => answer(step, mark));
      item.append(button);
      return item;
    }));
    find("ask").focus();
    since = performance.now();
  }

  function answer(step, mark) {
    const seconds = Math.round((performance.now() - since) / 10) / 100;
    session.answers.push({ ...step, chosen: mark, seconds });
    remember();
    ask();
  }

  function back() {
    session.answers.pop();
    remember();
    ask();
  }

  function save() {
    const { session: name, answers } = session;
    const whole = { format: 1, kind: "study-answers", study: study.digest, session: name, answers };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(whole, null, 1)], { type: "application/json" }));
    link.download = `answers-${name.slice(0, 8)}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    find("next").disabled = false;
    find("saved").textContent = `Saved as ${link.download}.`;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || find("asking").hidden) return;
    const button = find("options").querySelectorAll("button")[Number(event.key) - 1];
    if (/^[1-9]$/.test(event.key) && button) button.click();
    else if (event.key === "Backspace" && !find("back").disabled) back();
    else return;
    event.preventDefault();
  });
  find("start").addEventListener("click", () => {
    session ??= begun();
    ask();
  });
  find("back").addEventListener("click", back);
  find("again").addEventListener("click", back);
  find("save").addEventListener("click", save);
  find("next").addEventListener("click", () => {
    session = null;
    try {
      localStorage.removeItem(store);
    } catch { /* As above. */ }
    find("start").textContent = "Begin";
    show("welcome");
    find("start").focus();
  });

  session = remembered();
  find("count").textContent = study.perRater * study.asks.length;
  find("last").textContent = Math.max(...study.questions.map((q) => q.options.length));
  if (session) find("start").textContent = "Go on where you stopped";
  find("style").hidden = !study.exemplars.length;
  find("exemplars").replaceChildren(...study.exemplars.map((picture, k) => {
    const item = document.createElement("li");
    const image = document.createElement("img");
    image.src = picture;
    image.alt = `Example ${k + 1} of the manner`;
    item.append(image);
    return item;
  }));
})();
