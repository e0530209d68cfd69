// Sets the chosen theme before anything is painted. Not a module: modules wait until the page is parsed.
(() => {
  try {
    const theme = localStorage.getItem("rotor.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // No store in this browser: the device's theme is as good.
  }
})();
