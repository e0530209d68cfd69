#include "tests/support/server_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "tests/support/command.h"

namespace rotor::test {

ServerProcess::ServerProcess(const TempDir& dir, const std::vector<std::string>& flags,
                             const std::string& notify_socket)
    : log_file_(dir.file("log")) {
  std::vector<std::string> arguments = {program("rotor"), "serve", dir.file("model.rotor"), "-t", "1"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  write_bytes(log_file_, "");  // an earlier server's log says "ready", too
  pid_ = fork();
  if (pid_ == 0) {
    if (!notify_socket.empty()) setenv("NOTIFY_SOCKET", notify_socket.c_str(), 1);
    if (std::freopen(log_file_.c_str(), "w", stderr) == nullptr) _exit(126);
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  wait_for("ready");
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0) stop(SIGKILL);
}

bool ServerProcess::wait_for(const std::string& text) const {
  for (int i = 0; i < 3000 && log().find(text) == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return log().find(text) != std::string::npos;
}

std::string ServerProcess::log() const {
  return read_bytes(log_file_);
}

int ServerProcess::port() const {
  const std::string text = log();
  const size_t at = text.find("at=http");
  return at == std::string::npos ? 0 : std::stoi(text.substr(text.find(':', text.find("//", at)) + 1));
}

void ServerProcess::send(int signal) const {
  kill(pid_, signal);
}

int ServerProcess::stop(int signal) {
  kill(pid_, signal);
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace rotor::test
