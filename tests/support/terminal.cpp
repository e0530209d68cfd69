#include "tests/support/terminal.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace rotor::test {
namespace {
constexpr auto kPatience = std::chrono::seconds(30);
}  // namespace

Terminal::Terminal(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  if (!start()) return;
  execv(arguments[0], arguments.data());
  _exit(127);
}

Terminal::Terminal(const std::function<int()>& program) {
  if (start()) _exit(program());
}

bool Terminal::start() {
  winsize size{.ws_row = 24, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
  pid_ = forkpty(&master_, nullptr, nullptr, &size);
  if (pid_ == 0) setenv("TERM", "xterm", 1);
  return pid_ == 0;
}

Terminal::~Terminal() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    wait();
  }
  close(master_);
}

void Terminal::type(const std::string& keys) {
  ASSERT_EQ(write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

std::string Terminal::wait_for(const std::string& text) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    if (const size_t found = shown_.find(text); found != std::string::npos) {
      const std::string until = shown_.substr(0, found + text.size());
      shown_.erase(0, until.size());
      return until;
    }
    pollfd ready{.fd = master_, .events = POLLIN, .revents = 0};
    char buffer[4096];
    ssize_t count = 0;
    if (poll(&ready, 1, 100) == 1) count = read(master_, buffer, sizeof(buffer));
    if (count > 0) shown_.append(buffer, static_cast<size_t>(count));
    if (count < 0 || std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "expected \"" << text << "\" on the terminal, found \"" << shown_ << "\"";
      return "";
    }
  }
}

void Terminal::send(int signal) {
  ASSERT_EQ(kill(pid_, signal), 0);
}

int Terminal::wait() {
  int status = 0;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "expected the program to end";
      kill(pid_, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace rotor::test
