// Ctrl-C and SIGTERM as a question that long loops ask. The second signal ends the process at once.
#pragma once

namespace rotor::tool {

/// From now on SIGINT and SIGTERM are noted instead of ending the process, unless they are ignored already.
void catch_interrupts();

/// Whether one was noted.
bool interrupted();

/// From now on SIGINT is noted, as often as it comes, and never ends the process; SIGTERM is as after
/// catch_interrupts(). For programs in which Ctrl-C stops what is being done, not the program, and which wait
/// with wait_for_input(). Throws Error if the process may open no more files.
void note_interrupts();

/// Whether SIGINT was noted since the last call.
bool take_interrupt();

enum class Wake {
  input,      ///< there is something to read, or its end
  interrupt,  ///< SIGINT is noted and not taken, or SIGTERM: since before the call or during it
  terminal,  ///< since the last call it was resized (SIGWINCH) or perhaps used by others (SIGCONT): draw anew
};
/// After note_interrupts(): waits for input on `fd`, or for what comes first.
Wake wait_for_input(int fd);

/// What a program exits with after an interrupt that it handled: 128 + SIGINT, as shells expect.
inline constexpr int kInterruptedStatus = 130;

}  // namespace rotor::tool
