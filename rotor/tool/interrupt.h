// Ctrl-C and SIGTERM as a question that long loops ask. The second signal ends the process at once.
#pragma once

namespace rotor::tool {

/// From now on SIGINT and SIGTERM are noted instead of ending the process, unless they are ignored already.
void catch_interrupts();

/// Whether one was noted.
bool interrupted();

/// From now on SIGINT is noted, as often as it comes, and never ends the process; SIGTERM is as after
/// catch_interrupts(). Either one wakes who waits for input (EINTR). For programs in which Ctrl-C stops what
/// is being done, not the program.
void note_interrupts();

/// Whether SIGINT was noted since the last call.
bool take_interrupt();

/// What a program exits with after an interrupt that it handled: 128 + SIGINT, as shells expect.
inline constexpr int kInterruptedStatus = 130;

}  // namespace rotor::tool
