// fork, exec, and two pipes read in turn.
#include "tests/support/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace rotor::test {
namespace {

[[noreturn]] void exec_child(const std::vector<std::string>& arguments, const CommandOptions& options,
                             int out, int err) {
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  for (const auto& [key, value] : options.environment) setenv(key.c_str(), value.c_str(), 1);
  if (options.max_file_bytes >= 0) {
    const auto limit = static_cast<rlim_t>(options.max_file_bytes);
    const rlimit limits = {limit, limit};
    setrlimit(RLIMIT_FSIZE, &limits);
  }
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace

std::string program(const std::string& name) {
  return std::string(ROTOR_BIN_DIR) + "/" + name;
}

CommandResult run_command(const std::vector<std::string>& arguments, const CommandOptions& options) {
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) return {};
  const pid_t child = fork();
  if (child == 0) exec_child(arguments, options, out[1], err[1]);
  close(out[1]);
  close(err[1]);

  CommandResult result;
  std::array<pollfd, 2> streams = {pollfd{out[0], POLLIN, 0}, pollfd{err[0], POLLIN, 0}};
  bool interrupt_sent = options.interrupt_after.empty();
  for (int open_streams = 2; open_streams > 0;) {
    poll(streams.data(), streams.size(), -1);
    for (pollfd& stream : streams) {
      if (stream.fd < 0 || stream.revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t n = read(stream.fd, buffer.data(), buffer.size());
      if (n <= 0) {
        close(stream.fd);
        stream.fd = -1;
        --open_streams;
        continue;
      }
      (stream.fd == out[0] ? result.out : result.err).append(buffer.data(), static_cast<size_t>(n));
    }
    if (!interrupt_sent && result.err.find(options.interrupt_after) != std::string::npos) {
      usleep(static_cast<useconds_t>(options.interrupt_after_ms) * 1000);
      kill(child, SIGINT);
      interrupt_sent = true;
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace rotor::test
