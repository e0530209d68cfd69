// Runs the project's programs as a user would, and keeps what they print.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace rotor::test {

struct CommandResult {
  int status = -1;  ///< exit status; 128 + N if signal N ended it
  std::string out;
  std::string err;
};

struct CommandOptions {
  std::map<std::string, std::string> environment;  ///< added to this process's
  long max_file_bytes = -1;                        ///< RLIMIT_FSIZE: a write past it fails, as on a full disk
  int interrupt_after_ms = -1;  ///< sends SIGINT once the program printed `interrupt_after` on stderr
  std::string interrupt_after;  ///< text to wait for first
};

/// Path of a program of this build.
std::string program(const std::string& name);

/// Runs argv[0] with the rest as arguments and waits for its end.
CommandResult run_command(const std::vector<std::string>& arguments, const CommandOptions& options = {});

}  // namespace rotor::test
