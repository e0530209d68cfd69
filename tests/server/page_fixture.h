// What the page's tests share: one browser and one server for all of them, a page without memory for each.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/server/fake_api.h"
#include "tests/support/browser.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {

class PageTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = std::make_unique<TempDir>();
    api_ = std::make_unique<FakeApi>();
  }
  static void TearDownTestSuite() {
    browser_.reset();
    api_.reset();
    files_.reset();
  }

  void SetUp() override {
    if (!browser_) browser_ = std::make_unique<Browser>(files_->path());
    api_->reset();
    browser_->open(api_->address() + "licenses.txt");
    browser_->run("localStorage.clear(); sessionStorage.clear()");
    browser_->take_log("browser");
    browser_->take_log("performance");
    open();
  }
  /// A page that complains in the console, about its policy say, has failed.
  void TearDown() override {
    if (!browser_) return;
    for (const auto& entry : browser_->take_log("browser")) {
      const std::string message = entry["message"];
      const bool is_refusal = message.find("Failed to load resource") != std::string::npos;
      EXPECT_TRUE((entry["level"] != "SEVERE" && entry["level"] != "WARNING") || is_refusal) << message;
    }
    browser_->set_viewport(0, 0);
    browser_->set_colour_scheme("light");
  }

  static void open() {
    browser_->open(api_->address());
    browser_->wait_for(
        "document.querySelector('#model option') || !document.querySelector('#notice').hidden");
  }
  static void send(const std::string& text) { browser_->type("#message", text + key::kEnter); }
  /// Waits for the end of the answer that is being written.
  static void finish() {
    browser_->wait_for(
        "document.querySelector('.last.assistant[aria-busy=false]') && "
        "!document.body.classList.contains('running')");
  }
  static void say(const std::string& text) {
    send(text);
    finish();
  }
  /// Of the last answer.
  static std::string answer() { return browser_->text(".last .text"); }

  static inline std::unique_ptr<TempDir> files_;
  static inline std::unique_ptr<FakeApi> api_;
  static inline std::unique_ptr<Browser> browser_;
};

}  // namespace rotor::test
