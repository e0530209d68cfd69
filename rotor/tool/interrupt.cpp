// Flags set by signal handlers, which any thread may run. signal() and write() are safe in a handler.
#include "rotor/tool/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "rotor/core/error.h"

namespace rotor::tool {
namespace {

static_assert(std::atomic<bool>::is_always_lock_free, "what a handler may touch");
std::atomic<bool> g_interrupted = false;
std::atomic<bool> g_noted = false;
std::atomic<bool> g_terminal_changed = false;
std::array<int, 2> g_wake = {-1, -1};  // a pipe that each noted signal writes to

void handle(int signal, void (*handler)(int)) {
  struct sigaction previous = {};
  sigaction(signal, nullptr, &previous);
  if (previous.sa_handler == SIG_IGN) return;  // a background job that is to live on
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

/// Sets a flag, and wakes who waits for input.
void note(std::atomic<bool>& flag) {
  const int error = errno;
  flag = true;
  [[maybe_unused]] const ssize_t written = ::write(g_wake[1], "", 1);  // a full pipe wakes as it is
  errno = error;
}

}  // namespace

void catch_interrupts() {
  const auto end_next_time = [](int) {
    g_interrupted = true;
    std::signal(SIGINT, SIG_DFL);  // the next one of either kind ends the process
    std::signal(SIGTERM, SIG_DFL);
  };
  handle(SIGINT, end_next_time);
  handle(SIGTERM, end_next_time);
}

bool interrupted() {
  return g_interrupted;
}

void note_interrupts() {
  if (g_wake[0] < 0 && ::pipe2(g_wake.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    fail("cannot make a pipe: ", std::strerror(errno));
  }
  handle(SIGINT, [](int) { note(g_noted); });
  handle(SIGTERM, [](int) {
    std::signal(SIGTERM, SIG_DFL);
    note(g_interrupted);
  });
  handle(SIGCONT, [](int) { note(g_terminal_changed); });
  handle(SIGWINCH, [](int) { note(g_terminal_changed); });
}

bool take_interrupt() {
  return g_noted.exchange(false);
}

Wake wait_for_input(int fd) {
  // A handler sets its flag before it writes. So a flag that is not seen here is followed by a byte that ends
  // poll(), whichever thread ran the handler, and whenever.
  for (;;) {
    if (g_noted || g_interrupted) return Wake::interrupt;
    if (g_terminal_changed.exchange(false)) return Wake::terminal;
    std::array<pollfd, 2> events = {pollfd{fd, POLLIN, 0}, pollfd{g_wake[0], POLLIN, 0}};
    const int ready = ::poll(events.data(), events.size(), -1);
    if (ready < 0 && errno == EINTR) continue;
    if (events[1].revents == 0) return Wake::input;  // what is wrong with `fd` its reader will see
    std::array<char, 64> taken{};
    while (::read(g_wake[0], taken.data(), taken.size()) > 0) {
    }
  }
}

}  // namespace rotor::tool
