// The frame of every program: sub-commands, --help, --version, and the one place where an Error becomes a
// line and exit 1.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace rotor::tool {

struct Command {
  const char* name;
  const char* summary;  ///< one line for the list of commands
  /// argv[0] is "PROGRAM COMMAND", for the usage line. Returns the exit status.
  std::function<int(int argc, char** argv)> run;
};

/// Runs the command that argv[1] names. Errors print "PROGRAM: message" on stderr and give 1, wrong usage
/// gives 2.
int run_commands(int argc, char** argv, const std::string& program, const std::string& about,
                 const std::vector<Command>& commands);

/// Runs `body`; an exception prints "PROGRAM: message" on stderr and gives 1, UsageError gives 2.
int run_guarded(const std::string& program, const std::function<int()>& body);

/// Wrong use of the command line.
class UsageError : public std::exception {
 public:
  explicit UsageError(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// `text` as one line that is safe on a terminal: control characters as \n, \t or \xNN, at most 1000 bytes.
std::string printable(const std::string& text);

/// "rotor 0.1.0".
std::string version_text();

}  // namespace rotor::tool
