// PDF by pdftotext of poppler-utils, which is well kept and runs in a process of its own: what a broken file
// does to it does nothing to Rotor.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"

extern char** environ;

namespace rotor::runtime::rag {
namespace {

constexpr auto kTimeLimit = std::chrono::seconds(120);
constexpr size_t kLongestText = 256U << 20;

class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_CLOEXEC) != 0) fail("pdftotext: no pipe: ", std::strerror(errno));
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int end(size_t which) const { return ends_[which]; }
  void close_end(size_t which) {
    if (ends_[which] >= 0) close(ends_[which]);
    ends_[which] = -1;
  }

 private:
  std::array<int, 2> ends_ = {-1, -1};
};

struct Output {
  int status = 0;
  std::string text;
  std::string errors;
};

Output run(const std::string& path) {
  Pipe text;
  Pipe errors;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, text.end(1), 1);
  posix_spawn_file_actions_adddup2(&actions, errors.end(1), 2);
  const std::string named = path.starts_with('-') ? "./" + path : path;
  std::array<const char*, 6> arguments = {"pdftotext", "-enc", "UTF-8", named.c_str(), "-", nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, "pdftotext", &actions, nullptr,
                                  const_cast<char* const*>(arguments.data()), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0)
    fail(path, ": PDF is read by pdftotext, which cannot be started (", std::strerror(failed),
         "): install poppler-utils");
  text.close_end(1);
  errors.close_end(1);

  Output output;
  const auto deadline = std::chrono::steady_clock::now() + kTimeLimit;
  std::array<std::pair<Pipe*, std::string*>, 2> streams = {
      {{&text, &output.text}, {&errors, &output.errors}}};
  const char* stopped = nullptr;
  while (text.end(0) >= 0 || errors.end(0) >= 0) {
    std::array<pollfd, 2> waiting = {{{text.end(0), POLLIN, 0}, {errors.end(0), POLLIN, 0}}};
    poll(waiting.data(), waiting.size(), 200);
    for (size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      std::array<char, 65536> bytes;
      const ssize_t count = read(waiting[i].fd, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        streams[i].first->close_end(0);
      } else {
        streams[i].second->append(bytes.data(), static_cast<size_t>(count));
      }
    }
    if (output.text.size() > kLongestText) stopped = "its text is longer than 256 MB";
    if (std::chrono::steady_clock::now() > deadline) stopped = "reading it took longer than 120 s";
    if (stopped == nullptr) continue;
    kill(child, SIGKILL);
    break;
  }
  while (waitpid(child, &output.status, 0) < 0 && errno == EINTR) {
  }
  if (stopped != nullptr) fail(path, ": ", stopped);
  return output;
}

}  // namespace

Document read_pdf(const std::string& path) {
  const Output output = run(path);
  if (!WIFEXITED(output.status) || WEXITSTATUS(output.status) != 0) {
    std::string reason = output.errors.substr(0, output.errors.find('\n'));
    if (reason.empty()) reason = "pdftotext failed";
    fail(path, ": no PDF that can be read: ", reason);
  }
  Document document;
  int64_t page = 0;
  std::string_view rest = output.text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\f'), rest.size());
    ++page;
    Document one = read_plain_text(rest.substr(0, end));
    for (Block& block : one.blocks) {
      block.place = {0, page};
      document.blocks.push_back(std::move(block));
    }
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  if (document.blocks.empty()) {
    fail(path, ": there is no text in this PDF (", page,
         " pages): images of pages need text recognition first");
  }
  return document;
}

}  // namespace rotor::runtime::rag
