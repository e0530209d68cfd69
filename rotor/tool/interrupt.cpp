// A flag set by a signal handler that uninstalls itself. signal() is safe in a handler.
#include "rotor/tool/interrupt.h"

#include <csignal>
#include <initializer_list>

namespace rotor::tool {
namespace {
volatile std::sig_atomic_t g_interrupted = 0;
volatile std::sig_atomic_t g_noted = 0;
}  // namespace

void catch_interrupts() {
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction previous = {};
    sigaction(signal, nullptr, &previous);
    if (previous.sa_handler == SIG_IGN) continue;  // a background job that is to live on
    struct sigaction action = {};
    action.sa_handler = [](int) {
      g_interrupted = 1;
      std::signal(SIGINT, SIG_DFL);  // the next one of either kind ends the process
      std::signal(SIGTERM, SIG_DFL);
    };
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
  }
}

bool interrupted() {
  return g_interrupted != 0;
}

void note_interrupts() {
  struct sigaction action = {};  // without SA_RESTART: who waits for a key is woken
  sigemptyset(&action.sa_mask);
  action.sa_handler = [](int) { g_noted = 1; };
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = [](int) {
    g_interrupted = 1;
    std::signal(SIGTERM, SIG_DFL);
  };
  sigaction(SIGTERM, &action, nullptr);
}

bool take_interrupt() {
  const bool noted = g_noted != 0;
  g_noted = 0;
  return noted;
}

}  // namespace rotor::tool
