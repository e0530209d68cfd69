// Files that appear whole or not at all.
#include "rotor/formats/atomic_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rotor/core/error.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::TempDir;

size_t entries(const TempDir& dir) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir.path()), {}));
}

TEST(AtomicFile, AppearsOnCommitOnly) {
  const TempDir dir;
  {
    AtomicFile file(dir.file("f"));
    file.write("hello");
    EXPECT_FALSE(std::filesystem::exists(dir.file("f")));
    file.write(" world");
    const std::vector<uint8_t> jay = {'J'};
    file.write_at(0, jay);
    file.commit();
  }
  EXPECT_EQ(test::read_bytes(dir.file("f")), "Jello world");
  EXPECT_EQ(entries(dir), 1U);
}

TEST(AtomicFile, KeepsTheOldFileUntilThen) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), "old");
  {
    AtomicFile file(dir.file("f"));
    file.write("new");
  }
  EXPECT_EQ(test::read_bytes(dir.file("f")), "old");
  EXPECT_EQ(entries(dir), 1U);
  write_file(dir.file("f"), "new");
  EXPECT_EQ(test::read_bytes(dir.file("f")), "new");
}

TEST(AtomicFile, SaysWhyItCannotWrite) {
  const TempDir dir;
  expect_error([&] { AtomicFile{dir.file("no/such/folder/f")}; },
               {"no/such/folder/f", "No such file or directory"});
  expect_error([&] { AtomicFile{dir.path()}; }, {"is a directory"});
}

TEST(AtomicFile, WritesNoSpecialFile) {
  const TempDir dir;
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  expect_error([&] { AtomicFile{dir.file("pipe")}; }, {"pipe", "not a regular file"});
  expect_error([] { AtomicFile{"/dev/null"}; }, {"/dev/null", "not a regular file"});
}

TEST(AtomicFile, TwoWritersOfOneNameDoNotMix) {
  const TempDir dir;
  AtomicFile a(dir.file("f"));
  AtomicFile b(dir.file("f"));
  a.write("first");
  b.write("second");
  a.commit();
  b.commit();
  EXPECT_EQ(test::read_bytes(dir.file("f")), "second");
  EXPECT_EQ(entries(dir), 1U);
}

TEST(AtomicFile, FullDiskLeavesNothingBehind) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), "old");
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limits = {1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limits);
    try {
      AtomicFile file(dir.file("f"));
      file.write(std::string(2000, 'x'));
      file.commit();
    } catch (const Error& e) {
      const std::string message = e.what();
      _exit(message.find(dir.file("f")) != std::string::npos &&
                    message.find("cannot write") != std::string::npos
                ? 42
                : 1);
    }
    _exit(2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 42);
  EXPECT_EQ(test::read_bytes(dir.file("f")), "old");
  EXPECT_EQ(entries(dir), 1U);
}

TEST(ReplaceSymlink, SwapsInOneStep) {
  const TempDir dir;
  replace_symlink("a", dir.file("link"));
  replace_symlink("b", dir.file("link"));
  EXPECT_EQ(std::filesystem::read_symlink(dir.file("link")), "b");
  EXPECT_EQ(entries(dir), 1U);
  expect_error([&] { replace_symlink("a", dir.file("no/link")); }, {"no/link"});
}

}  // namespace
}  // namespace rotor
