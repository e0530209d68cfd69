// A flag set by a signal handler that uninstalls itself.
#include "rotor/tool/interrupt.h"

#include <csignal>

namespace rotor::tool {
namespace {
volatile std::sig_atomic_t g_interrupted = 0;
}

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return g_interrupted != 0;
}

}  // namespace rotor::tool
