// PDF by pdftotext of poppler-utils, which is well kept and runs in a process of its own: what a broken file
// does to it does nothing to Rotor.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/regular_file.h"
#include "runtime/rag/readers/text.h"

extern char** environ;

namespace rotor::runtime::rag {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLongestText = 256U << 20;
constexpr size_t kLongestErrors = 1U << 16;
constexpr rlim_t kMostMemory = rlim_t{4} << 30;

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

/// pdftotext with its output in pipes. It ends with this object.
class PdfToText {
 public:
  explicit PdfToText(const std::string& path) : path_(path) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, text_.end(1), 1);
    posix_spawn_file_actions_adddup2(&actions, errors_.end(1), 2);
    const std::string named = path.starts_with('-') ? "./" + path : path;
    std::array<const char*, 6> arguments = {"pdftotext", "-enc", "UTF-8", named.c_str(), "-", nullptr};
    const int failed = posix_spawnp(&child_, "pdftotext", &actions, nullptr,
                                    const_cast<char* const*>(arguments.data()), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
      child_ = 0;
      fail(path, ": PDF is read by pdftotext, which cannot be started (", std::strerror(failed),
           "): install poppler-utils");
    }
    const rlimit memory = {kMostMemory, kMostMemory};
    prlimit(child_, RLIMIT_AS, &memory, nullptr);  // a wish: it may be through already
    text_.close_end(1);
    errors_.close_end(1);
  }
  ~PdfToText() {
    if (child_ == 0) return;
    kill(child_, SIGKILL);
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  PdfToText(const PdfToText&) = delete;
  PdfToText& operator=(const PdfToText&) = delete;

  /// Until it has ended: the status of waitpid().
  int read(std::string& text, std::string& errors, std::chrono::milliseconds time_limit) {
    const auto deadline = Clock::now() + time_limit;
    while (true) {
      take(text_, text);
      take(errors_, errors);
      errors.resize(std::min(errors.size(), kLongestErrors));
      if (text.size() > kLongestText) fail(path_, ": its text is longer than ", kLongestText, " bytes");
      int status = 0;
      const bool is_read = text_.end(0) < 0 && errors_.end(0) < 0;
      if (is_read && waitpid(child_, &status, WNOHANG) == child_) {
        child_ = 0;
        return status;
      }
      if (Clock::now() > deadline)
        fail(path_, ": pdftotext took longer than ", time_limit.count() / 1000, " s, and was stopped");
      // Closed ends are negative, which poll() leaves out.
      std::array<pollfd, 2> waiting = {{{text_.end(0), POLLIN, 0}, {errors_.end(0), POLLIN, 0}}};
      poll(waiting.data(), waiting.size(), is_read ? 1 : 50);
    }
  }

 private:
  static void take(Pipe& pipe, std::string& to) {
    pollfd waiting = {pipe.end(0), POLLIN, 0};
    if (waiting.fd < 0 || poll(&waiting, 1, 0) <= 0) return;
    std::array<char, 65536> bytes;
    const ssize_t count = ::read(waiting.fd, bytes.data(), bytes.size());
    if (count > 0) to.append(bytes.data(), static_cast<size_t>(count));
    if (count == 0 || (count < 0 && errno != EINTR)) pipe.close_end(0);
  }

  std::string path_;
  Pipe text_;
  Pipe errors_;
  pid_t child_ = 0;
};

/// PDFs may have some bytes before their header.
void check_header(const std::string& path) {
  RegularFile file(path);
  std::array<char, 1024> bytes;
  const std::string_view begin(bytes.data(), file.read(bytes.data(), bytes.size()));
  if (begin.empty()) fail(path, ": expected a PDF, found an empty file");
  if (begin.find("%PDF-") == std::string_view::npos)
    fail(path, ": expected a PDF (%PDF- in its first 1024 bytes), found none");
}

[[noreturn]] void fail_to_read(const std::string& path, int status, const std::string& errors) {
  if (errors.find("Incorrect password") != std::string::npos) {
    fail(path,
         ": the PDF is encrypted: expected one that opens without a password; qpdf --decrypt "
         "--password=... makes one");
  }
  std::string reason = errors.substr(0, errors.find('\n'));
  if (reason.empty()) {
    reason = WIFSIGNALED(status) ? cat("pdftotext was ended by signal ", WTERMSIG(status))
                                 : cat("pdftotext ended with status ", WEXITSTATUS(status));
  }
  fail(path, ": the PDF cannot be read: ", reason);
}

}  // namespace

Document read_pdf(const std::string& path, std::chrono::milliseconds time_limit) {
  check_header(path);
  std::string text;
  std::string errors;
  const int status = PdfToText(path).read(text, errors, time_limit);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_to_read(path, status, errors);
  text = as_utf8(std::move(text));  // fonts of broken PDFs name characters that do not exist
  Document document;
  int64_t page = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\f'), rest.size());
    ++page;
    for (Block& block : read_plain_text(rest.substr(0, end)).blocks) {
      block.place = {0, page};
      document.blocks.push_back(std::move(block));
    }
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  if (document.blocks.empty()) {
    fail(path, ": there is no text in this PDF (pages: ", page,
         "): if they are scanned, they need text recognition first, as ocrmypdf does it");
  }
  return document;
}

}  // namespace rotor::runtime::rag
