for (const filter of document.querySelectorAll(".filter")) {
  const [words, differ] = filter.querySelectorAll("input");
  const shown = filter.querySelector("output");
  const all = [...filter.parentElement.querySelectorAll(".utterance")];
  const apply = () => {
    const wanted = words.value.trim().toLowerCase();
    let count = 0;
    for (const one of all) {
      const hidden = !one.textContent.toLowerCase().includes(wanted)
        || (differ.checked && !("differ" in one.dataset));
      one.hidden = hidden;
      count += !hidden;
    }
    shown.textContent = `${count} of ${all.length}`;
  };
  words.addEventListener("input", apply);
  differ.addEventListener("change", apply);
}
for (const audio of document.querySelectorAll(".aligned audio")) {
  const cursors = audio.closest(".aligned").querySelectorAll(".cursor");
  const move = () => {
    for (const cursor of cursors) {
      cursor.style.display = "block";
      cursor.style.left = `${100 * audio.currentTime / audio.duration}%`;
    }
    if (!audio.paused) requestAnimationFrame(move);
  };
  audio.addEventListener("play", move);
  audio.addEventListener("seeking", move);
}
const opened = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", opened);
opened();
