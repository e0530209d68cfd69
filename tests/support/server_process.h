// A `rotor serve` that tests talk to.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace rotor::test {

/// Serves model.rotor of a directory; its log is the file `log` there.
class ServerProcess {
 public:
  /// Waits until the log says "ready".
  ServerProcess(const TempDir& dir, const std::vector<std::string>& flags,
                const std::string& notify_socket = "");
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  /// Waits until the log says so; false after half a minute.
  bool wait_for(const std::string& text) const;
  std::string log() const;
  /// 0 if it does not listen.
  int port() const;
  void send(int signal) const;
  /// Sends `signal` and waits; the exit status as in CommandResult.
  int stop(int signal);

 private:
  std::string log_file_;
  pid_t pid_ = -1;
};

}  // namespace rotor::test
