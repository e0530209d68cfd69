// chromedriver as a child that dies with the test, and JSON over HTTP to it.
#include "tests/support/browser.h"

#include <fcntl.h>
#include <httplib.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "rotor/core/error.h"

namespace rotor::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(10);
constexpr auto kStartPatience = std::chrono::seconds(60);
constexpr const char* kElement =
    "element-6066-11e4-a52e-4f735466cecf";  // the protocol's name for a reference

std::string base64_decoded(const std::string& text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return bytes;
}

}  // namespace

Browser::Browser(const std::string& download_dir) {
  start_driver();
  const json options = {
      {"args",
       {"--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en",
        "--force-device-scale-factor=1", "--window-size=1280,860", "--disable-background-networking"}},
      {"prefs", {{"download.default_directory", download_dir}}}};
  const json wanted = {{"browserName", "chrome"},
                       {"goog:chromeOptions", options},
                       {"goog:loggingPrefs", {{"browser", "ALL"}, {"performance", "ALL"}}}};
  try {
    const json session = command("POST", "/session", {{"capabilities", {{"alwaysMatch", wanted}}}});
    session_ = "/session/" + session["sessionId"].get<std::string>();
    devtools("Browser.setDownloadBehavior", {{"behavior", "allow"}, {"downloadPath", download_dir}});
  } catch (const Error& e) {
    stop_driver();
    fail("Chromium does not start: install chromium (scripts/setup.sh does). chromedriver says: ", e.what());
  }
}

Browser::~Browser() {
  client_->Delete(session_);
  stop_driver();
}

void Browser::start_driver() {
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) fail("no pipe for chromedriver");
  driver_ = fork();
  if (driver_ == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(pipe_ends[1], STDOUT_FILENO);
    dup2(pipe_ends[1], STDERR_FILENO);
    execlp("chromedriver", "chromedriver", "--port=0", nullptr);
    _exit(127);
  }
  close(pipe_ends[1]);
  output_ = pipe_ends[0];
  const std::string kSays = "started successfully on port ";
  std::string said;
  for (std::array<char, 512> piece{};;) {
    pollfd ready = {output_, POLLIN, 0};
    const bool in_time = poll(&ready, 1, std::chrono::milliseconds(kStartPatience).count()) > 0;
    const ssize_t size = in_time ? read(output_, piece.data(), piece.size()) : 0;
    if (size <= 0) {
      stop_driver();
      fail("chromedriver does not start: install chromium-driver (scripts/setup.sh does). It says: ", said);
    }
    said.append(piece.data(), static_cast<size_t>(size));
    const size_t at = said.find(kSays);
    if (at != std::string::npos && said.find('\n', at) != std::string::npos) {
      client_ = std::make_unique<httplib::Client>("127.0.0.1", std::stoi(said.substr(at + kSays.size())));
      client_->set_read_timeout(kStartPatience);
      client_->set_keep_alive(true);
      return;
    }
  }
}

void Browser::stop_driver() {
  if (driver_ > 0) {
    kill(-driver_, SIGTERM);
    waitpid(driver_, nullptr, 0);
  }
  if (output_ >= 0) close(output_);
  driver_ = output_ = -1;
}

json Browser::command(const std::string& method, const std::string& path, const json& body) {
  const std::string address = session_ + path;
  const httplib::Result result =
      method == "GET"
          ? client_->Get(address)
          : client_->Post(address, (body.is_null() ? json::object() : body).dump(), "application/json");
  if (!result) fail("chromedriver does not answer ", path, ": ", httplib::to_string(result.error()));
  const json answer = json::parse(result->body, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("value"))
    fail("chromedriver answers ", path, " with ", result->body);
  const json& value = answer["value"];
  if (result->status != 200) fail(path, ": ", value.value("error", "?"), ": ", value.value("message", ""));
  return value;
}

void Browser::open(const std::string& address) {
  command("POST", "/url", {{"url", address}});
}

void Browser::reload() {
  command("POST", "/refresh");
}

std::string Browser::find(const std::string& selector) {
  wait_for("document.querySelector(" + json(selector).dump() + ")");
  return command("POST", "/element", {{"using", "css selector"}, {"value", selector}})[kElement];
}

void Browser::click(const std::string& selector) {
  command("POST", "/element/" + find(selector) + "/click");
}

void Browser::type(const std::string& selector, const std::string& text) {
  command("POST", "/element/" + find(selector) + "/value", {{"text", text}});
}

void Browser::clear(const std::string& selector) {
  command("POST", "/element/" + find(selector) + "/clear");
}

void Browser::press(const std::vector<std::string>& keys, const std::string& held) {
  json actions = json::array();
  const auto act = [&](const char* type, const std::string& value) {
    actions.push_back({{"type", type}, {"value", value}});
  };
  if (!held.empty()) act("keyDown", held);
  for (const std::string& one : keys) {
    act("keyDown", one);
    act("keyUp", one);
  }
  if (!held.empty()) act("keyUp", held);
  command("POST", "/actions", {{"actions", {{{"type", "key"}, {"id", "keyboard"}, {"actions", actions}}}}});
}

std::string Browser::accessible_name(const std::string& selector) {
  return command("GET", "/element/" + find(selector) + "/computedlabel");
}

json Browser::run(const std::string& script, const json& arguments) {
  return command("POST", "/execute/sync", {{"script", script}, {"args", arguments}});
}

std::string Browser::text(const std::string& selector) {
  return command("GET", "/element/" + find(selector) + "/text");
}

int Browser::count(const std::string& selector) {
  return run("return document.querySelectorAll(arguments[0]).length", {selector});
}

void Browser::wait_for(const std::string& expression) {
  const auto until = Clock::now() + kPatience;
  while (!run("return Boolean(" + expression + ")").get<bool>()) {
    if (Clock::now() > until) {
      fail("waited in vain for ", expression,
           "; the page shows: ", run("return document.body.innerText").dump());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Browser::wait_for_text(const std::string& text) {
  wait_for("document.body.innerText.includes(" + json(text).dump() + ")");
}

json Browser::devtools(const std::string& name, const json& parameters) {
  return command("POST", "/goog/cdp/execute", {{"cmd", name}, {"params", parameters}});
}

void Browser::set_viewport(int width, int height) {
  if (width == 0) {
    devtools("Emulation.clearDeviceMetricsOverride", json::object());
    return;
  }
  devtools("Emulation.setDeviceMetricsOverride",
           {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
}

void Browser::set_colour_scheme(const std::string& scheme) {
  devtools("Emulation.setEmulatedMedia",
           {{"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
}

json Browser::take_log(const std::string& name) {
  return command("POST", "/se/log", {{"type", name}});
}

std::string Browser::screenshot() {
  return base64_decoded(command("GET", "/screenshot"));
}

}  // namespace rotor::test
