// Mappings, and what happens when the file under one shrinks.
#include "rotor/formats/mapped_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <numeric>

#include "rotor/core/error.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::TempDir;

TEST(MappedFile, ShowsTheBytes) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), "abc");
  MappedFile file(dir.file("f"));
  EXPECT_EQ(std::string(file.bytes().begin(), file.bytes().end()), "abc");
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().size(), 3U);
  moved.check_intact();
  test::write_bytes(dir.file("empty"), "");
  EXPECT_TRUE(MappedFile(dir.file("empty")).bytes().empty());
}

TEST(MappedFile, SaysWhyItCannotOpen) {
  const TempDir dir;
  expect_error([&] { MappedFile{dir.file("none")}; }, {"none", "No such file"});
  expect_error([&] { MappedFile{dir.path()}; }, {"found a directory"});
  expect_error([] { MappedFile{"/dev/null"}; }, {"/dev/null", "regular file"});
}

TEST(MappedFile, TruncationUnderTheMappingIsAnErrorNotACrash) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), std::string(64 * 1024, 'x'));
  const MappedFile file(dir.file("f"));
  ASSERT_EQ(truncate(dir.file("f").c_str(), 100), 0);
  const auto bytes = file.bytes();
  EXPECT_GE(std::accumulate(bytes.begin(), bytes.end(), 0), 100 * 'x');
  expect_error([&] { file.check_intact(); }, {dir.file("f"), "truncated while it was in use", "65536"});
  // A later mapping that takes the same slot starts clean.
  test::write_bytes(dir.file("g"), "abc");
  MappedFile(dir.file("g")).check_intact();
}

TEST(MappedFile, TruncationByOneByteIsFound) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), std::string(3000, 'x'));
  const MappedFile file(dir.file("f"));
  file.check_intact();
  ASSERT_EQ(truncate(dir.file("f").c_str(), 2999), 0);
  expect_error([&] { file.check_intact(); }, {"truncated while it was in use", "3000"});
}

// As LLVM does, which drivers of OpenCL and Vulkan compile with: a handler for one signal, the second ends
// the process.
void lay_a_handler_over() {
  struct sigaction theirs = {};
  theirs.sa_handler = [](int) {};
  theirs.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  sigaction(SIGBUS, &theirs, nullptr);
}

TEST(MappedFile, TheHandlerIsLaidOverThoseThatCameLater) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), std::string(64 * 1024, 'x'));
  test::write_bytes(dir.file("g"), std::string(64 * 1024, 'x'));
  const MappedFile file(dir.file("f"));
  ASSERT_EQ(truncate(dir.file("f").c_str(), 0), 0);
  lay_a_handler_over();
  watch_for_truncation();
  EXPECT_EQ(file.bytes()[0], 0);
  EXPECT_EQ(file.bytes()[40000], 0);
  lay_a_handler_over();
  const MappedFile other(dir.file("g"));  // a new mapping does the same
  ASSERT_EQ(truncate(dir.file("g").c_str(), 0), 0);
  EXPECT_EQ(other.bytes()[0], 0);
  EXPECT_EQ(other.bytes()[40000], 0);
}

TEST(MappedFileDeathTest, OtherBusErrorsEndTheProcess) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), "abc");
  const MappedFile file(dir.file("f"));
  EXPECT_DEATH(
      {
        lay_a_handler_over();
        watch_for_truncation();
        raise(SIGBUS);
        raise(SIGBUS);
      },
      "");
}

TEST(MappedFile, ACopyHoldsTheBytesWhateverBecomesOfTheFile) {
  const TempDir dir;
  for (const size_t size : {size_t{1}, size_t{4096}, (size_t{2} << 20) + 5}) {
    std::string bytes(size, 'x');
    bytes.front() = 'a';
    bytes.back() = 'z';
    test::write_bytes(dir.file("f"), bytes);
    const MappedFile file(dir.file("f"), {.copy = true});
    ASSERT_EQ(truncate(dir.file("f").c_str(), 0), 0);
    EXPECT_TRUE(file.text() == bytes);
    file.check_intact();
  }
  test::write_bytes(dir.file("empty"), "");
  EXPECT_TRUE(MappedFile(dir.file("empty"), {.copy = true}).bytes().empty());
}

TEST(MappedFile, LockedBytesStayInMemoryOrAreRefused) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), std::string(20000, 'x'));
  const MappedFile file(dir.file("f"), {.lock = true});
  EXPECT_EQ(file.bytes()[19999], 'x');
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they make mlock do nothing
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line) && !line.starts_with("VmLck:")) {
  }
  EXPECT_EQ(line.find(" 0 kB"), std::string::npos) << line;
#endif
}

TEST(MappedFile, APipeIsAnErrorAndDoesNotHang) {
  const TempDir dir;
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  expect_error([&] { MappedFile{dir.file("pipe")}; }, {"regular file"});
}

TEST(MappedFile, ManyMappingsAreAnErrorNotACrash) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), "abc");
  std::vector<MappedFile> files;
  expect_error(
      [&] {
        for (int i = 0; i < 2000; ++i) files.emplace_back(dir.file("f"));
      },
      {"files are mapped at once"});
  files.clear();
  EXPECT_EQ(MappedFile(dir.file("f")).bytes().size(), 3U);
}

}  // namespace
}  // namespace rotor
