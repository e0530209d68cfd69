// Dispatch of sub-commands. Wrong options of cxxopts arrive here as std::exception like everything else.
#include "rotor/tool/main.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "rotor/core/error.h"

namespace rotor::tool {
namespace {

void print_help(const std::string& program, const std::string& about, const std::vector<Command>& commands) {
  std::printf("%s\n\nusage: %s COMMAND [options]      %s COMMAND --help for a command's options\n\n",
              about.c_str(), program.c_str(), program.c_str());
  for (const Command& command : commands) std::printf("  %-14s %s\n", command.name, command.summary);
  std::printf("\n  --help, --version\n");
}

}  // namespace

std::string printable(const std::string& text) {
  constexpr size_t kLength = 1000;
  std::string line;
  for (const char c : text) {
    if (line.size() >= kLength) return line + "...";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\t') {
      line += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", byte);
      line += code.data();
    } else {
      line += c;
    }
  }
  return line;
}

std::string version_text() {
  return "rotor " ROTOR_VERSION;
}

int run_guarded(const std::string& program, const std::function<int()>& body) {
  // A closed pipe or a file size limit is an error that a write reports, not a signal that ends the process
  // unsaid.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  // A standard stream that is closed: else the first file to be opened would take its number, and be read or
  // written in its stead. Reading finds the end here, and writing fails.
  int fd = -1;
  do {
    fd = open("/dev/null", O_RDONLY);
  } while (fd >= STDIN_FILENO && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
  try {
    const int status = body();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) fail("cannot write to standard output");
    return status;
  } catch (const UsageError& e) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), printable(e.what()).c_str());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory\n", program.c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), printable(e.what()).c_str());
  }
  return 1;
}

int run_commands(int argc, char** argv, const std::string& program, const std::string& about,
                 const std::vector<Command>& commands) {
  return run_guarded(program, [&]() -> int {
    const std::string first = argc > 1 ? argv[1] : "";
    if (first == "--version") {
      std::printf("%s\n", version_text().c_str());
      return 0;
    }
    if (first == "--help" || first == "-h" || first == "help") {
      print_help(program, about, commands);
      return 0;
    }
    for (const Command& command : commands) {
      if (first != command.name) continue;
      std::string name = program + " " + first;
      argv[1] = name.data();
      return command.run(argc - 1, argv + 1);
    }
    throw UsageError(
        (first.empty() ? std::string("expected a command") : "unknown command \"" + first + "\"") + "; see " +
        program + " --help");
  });
}

}  // namespace rotor::tool
