// A real browser for tests: headless Chromium, driven by Debian's chromedriver through the WebDriver protocol
// (https://www.w3.org/TR/webdriver2/). What it is not: a general client; it knows what the page's tests need.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace httplib {
class Client;
}

namespace rotor::test {

/// Keys without a letter: https://www.w3.org/TR/webdriver2/#keyboard-actions
namespace key {
inline constexpr const char* kTab = "\uE004";
inline constexpr const char* kEnter = "\uE007";
inline constexpr const char* kShift = "\uE008";
inline constexpr const char* kEscape = "\uE00C";
}  // namespace key

/// Elements are named by CSS selectors; one that is not there is waited for. Every function throws Error
/// saying what the browser said.
class Browser {
 public:
  /// Throws Error naming the packages if there is no browser. Files that pages offer are saved in
  /// `download_dir`.
  explicit Browser(const std::string& download_dir);
  ~Browser();
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void open(const std::string& address);
  void reload();
  void click(const std::string& selector);
  /// Types into an element, behind what it holds. A file input takes a path.
  void type(const std::string& selector, const std::string& text);
  void clear(const std::string& selector);
  /// Presses keys one after another, wherever the focus is; `held` is held meanwhile.
  void press(const std::vector<std::string>& keys, const std::string& held = "");
  /// Name that assistive technology reads out.
  std::string accessible_name(const std::string& selector);

  /// The result of a function body in the page.
  nlohmann::json run(const std::string& script, const nlohmann::json& arguments = nlohmann::json::array());
  /// Visible text of an element.
  std::string text(const std::string& selector);
  int count(const std::string& selector);
  /// Waits until an expression in the page is true. Throws Error with the expression and what the page shows.
  void wait_for(const std::string& expression);
  /// Waits until the page's visible text has that.
  void wait_for_text(const std::string& text);

  /// A command of the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/
  nlohmann::json devtools(const std::string& command, const nlohmann::json& parameters);
  /// A viewport of that size. 0, 0: the window's own.
  void set_viewport(int width, int height);
  /// "light" or "dark": what the device wants.
  void set_colour_scheme(const std::string& scheme);
  /// Entries of a log ("browser": messages and errors; "performance": the network) since it was last asked
  /// for.
  nlohmann::json take_log(const std::string& name);
  /// As PNG.
  std::string screenshot();

 private:
  void start_driver();
  void stop_driver();
  nlohmann::json command(const std::string& method, const std::string& path, const nlohmann::json& body = {});
  std::string find(const std::string& selector);

  pid_t driver_ = -1;
  int output_ = -1;  ///< of the driver
  std::unique_ptr<httplib::Client> client_;
  std::string session_;  ///< "/session/<id>"
};

}  // namespace rotor::test
