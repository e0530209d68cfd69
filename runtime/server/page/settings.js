// The settings dialog: system prompt, sampling, knowledge base, look, API key, export and import.
import {byId, element, saveFile} from "./dom.js";

/** Fields of a request, as the API calls them. An empty field is left out of requests. */
const kFields = [
  {key: "temperature", label: "Temperature", min: 0, max: 2, hint: "0 takes the likeliest token"},
  {key: "top_p", label: "Top p", min: 0, max: 1, hint: "1 is off"},
  {key: "top_k", label: "Top k", min: 0, max: 1000000, whole: true, hint: "0 is off"},
  {key: "min_p", label: "Min p", min: 0, max: 1, hint: "0 is off"},
  {key: "repeat_penalty", label: "Repeat penalty", min: 0.01, max: 10, hint: "1 is off"},
  {key: "max_tokens", label: "Most tokens", min: 1, max: 1000000, whole: true, hint: "of an answer"},
  {key: "seed", label: "Seed", min: 0, max: Number.MAX_SAFE_INTEGER, whole: true, hint: "the same answer again"},
];

/** What is wrong with the text of a field; "" if nothing is. */
function complaint({min, max, whole}, text) {
  const value = Number(text);
  if (text === "") return "";
  if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) return whole ? "A whole number, please" : "A number, please";
  if (value < min) return `At least ${min}`;
  return value > max ? `At most ${max}` : "";
}

export class Settings {
  /** `actions`: {system(text), key(), imported(count), say(text), complain(text)} */
  constructor(store, actions) {
    this.store_ = store;
    this.actions_ = actions;
    this.values = {system: "", model: "", sampling: {}, ...store.settings()};
    const kept = store.apiKey();
    this.key = kept.key;
    this.dialog_ = byId("settings");
    byId("open-settings").addEventListener("click", () => this.open());
    byId("close-settings").addEventListener("click", () => this.dialog_.close());
    this.dialog_.addEventListener("click", (event) => {
      if (event.target === this.dialog_) this.dialog_.close();
    });
    this.wireSystem_();
    this.wireSampling_();
    this.wireRetrieval_();
    this.wireTheme_();
    this.wireKey_(kept);
    this.wireData_();
  }

  open(field) {
    this.dialog_.showModal();
    if (field) byId(field).focus();
  }
  set(key, value) {
    this.values[key] = value;
    this.store_.saveSettings(this.values);
  }
  showSystem(text) {
    byId("system").value = text;
  }

  wireSystem_() {
    byId("system").addEventListener("input", (event) => {
      this.set("system", event.target.value);
      this.actions_.system(event.target.value);
    });
  }

  wireSampling_() {
    for (const field of kFields) {
      const input = element("input", {id: field.key, inputmode: field.whole ? "numeric" : "decimal", autocomplete: "off",
        placeholder: "server's own", "aria-describedby": `${field.key}-hint`});
      const hint = element("span", {id: `${field.key}-hint`, class: "hint"}, field.hint);
      input.value = this.values.sampling[field.key] ?? "";
      input.addEventListener("input", () => {
        const text = input.value.trim().replace(",", ".");
        const wrong = complaint(field, text);
        input.setAttribute("aria-invalid", String(wrong !== ""));
        hint.textContent = wrong || field.hint;
        const sampling = {...this.values.sampling};
        delete sampling[field.key];
        if (text !== "" && wrong === "") sampling[field.key] = Number(text);
        this.set("sampling", sampling);
      });
      byId("sampling").append(element("div", {class: "field"}, element("label", {for: field.key}, field.label), input, hint));
    }
    byId("reset-sampling").addEventListener("click", () => {
      for (const {key} of kFields) {
        byId(key).value = "";
        byId(key).dispatchEvent(new Event("input"));
      }
    });
  }

  /** `usual`: what the server does by itself; nothing if it has no knowledge base. */
  showRetrieval(usual) {
    this.hasBase_ = usual !== undefined;
    byId("retrieval-section").hidden = !this.hasBase_;
    byId("retrieval").options[0].textContent = `As the server does by itself (${usual})`;
  }
  /** Of requests; "": the server's own. */
  get retrieval() {
    return this.hasBase_ ? byId("retrieval").value : "";
  }

  wireRetrieval_() {
    byId("retrieval").value = this.values.retrieval ?? "";
    if (byId("retrieval").value === "") this.values.retrieval = "";
    byId("retrieval").addEventListener("change", (event) => this.set("retrieval", event.target.value));
  }

  wireTheme_() {
    for (const input of byId("theme").querySelectorAll("input")) {
      input.checked = input.value === this.store_.theme();
      input.addEventListener("change", () => {
        this.store_.saveTheme(input.value);
        if (input.value === "system") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = input.value;
      });
    }
  }

  wireKey_({key, kept}) {
    byId("api-key").value = key;
    byId("keep-key").checked = kept;
    const changed = () => {
      this.key = byId("api-key").value.trim();
      this.store_.saveApiKey(this.key, byId("keep-key").checked);
      this.actions_.key();
    };
    byId("api-key").addEventListener("change", changed);
    byId("keep-key").addEventListener("change", changed);
  }

  wireData_() {
    byId("export-all").addEventListener("click", () => {
      saveFile("rotor-conversations.json", this.store_.exported(), "application/json");
    });
    byId("import").addEventListener("click", () => byId("import-file").click());
    byId("import-file").addEventListener("change", async (event) => {
      const [file] = event.target.files;
      if (!file) return;
      try {
        this.actions_.imported(this.store_.import(await file.text()));
      } catch (error) {
        this.actions_.complain(`${file.name} was not imported: ${error.message}.`);
      }
      event.target.value = "";
      this.dialog_.close();
    });
  }
}
