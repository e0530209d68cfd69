// What a run leaves on disk.
#include "train/trainer/run_directory.h"

#include <gtest/gtest.h>

#include <set>

#include "rotor/core/error.h"
#include "tests/support/temp_dir.h"

namespace rotor::train {
namespace {

using test::TempDir;
namespace fs = std::filesystem;

void add(RunDirectory& run, int64_t step, bool best, int64_t keep = 1) {
  run.add_checkpoint(step, best, keep, [&](const std::string& directory) {
    test::write_bytes(directory + "/f", std::to_string(step));
  });
}

TEST(RunDirectory, KeepsLastBestAndTheNewestOthers) {
  const TempDir dir;
  RunDirectory run(dir.file("run"));
  EXPECT_FALSE(run.last_checkpoint().has_value());
  for (const int64_t step : {5, 10, 15, 20, 100}) add(run, step, step == 10);
  EXPECT_EQ(test::read_bytes(dir.file("run/checkpoint/f")), "100");
  EXPECT_EQ(test::read_bytes(dir.file("run/best/f")), "10");
  EXPECT_EQ(run.last_checkpoint(), dir.file("run/checkpoint"));
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir.file("run/checkpoints")))
    names.insert(entry.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"step-10", "step-20", "step-100"}));
}

TEST(RunDirectory, AFailedWriteChangesNothing) {
  const TempDir dir;
  RunDirectory run(dir.file("run"));
  add(run, 1, true);
  EXPECT_THROW(run.add_checkpoint(2, true, 1, [](const std::string&) { throw Error("disk full"); }), Error);
  EXPECT_EQ(test::read_bytes(dir.file("run/checkpoint/f")), "1");
  EXPECT_EQ(test::read_bytes(dir.file("run/best/f")), "1");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.file("run/checkpoints")), {}), 1);
}

TEST(RunDirectory, DropsMetricsPastAStep) {
  const TempDir dir;
  RunDirectory run(dir.file("run"));
  for (int step = 1; step <= 4; ++step) run.log({{"step", step}});
  test::write_bytes(dir.file("run/metrics.jsonl"),
                    test::read_bytes(dir.file("run/metrics.jsonl")) + "{\"step\": 5, \"cut");
  run.drop_metrics_after(2);
  run.log({{"step", 3}});
  EXPECT_EQ(test::read_bytes(dir.file("run/metrics.jsonl")), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
}

TEST(RunDirectory, ClearRemovesTheRunButNothingElse) {
  const TempDir dir;
  RunDirectory run(dir.file("run"));
  add(run, 1, true);
  run.log({{"step", 1}});
  test::write_bytes(dir.file("run/notes.txt"), "mine");
  fs::create_directories(dir.file("run/tensorboard"));
  run.clear();
  EXPECT_FALSE(fs::exists(dir.file("run/tensorboard")));
  EXPECT_FALSE(run.last_checkpoint().has_value());
  EXPECT_FALSE(fs::exists(dir.file("run/metrics.jsonl")));
  EXPECT_EQ(test::read_bytes(dir.file("run/notes.txt")), "mine");
}

TEST(RunDirectory, SaysWhyItCannotBeMade) {
  const TempDir dir;
  test::write_bytes(dir.file("file"), "x");
  test::expect_error([&] { RunDirectory{dir.file("file")}; }, {"file", "cannot create output_dir"});
}

TEST(RunDirectory, OneRunAtATime) {
  const TempDir dir;
  {
    const RunDirectory run(dir.file("run"));
    test::expect_error([&] { RunDirectory{dir.file("run")}; }, {"another run is writing here"});
  }
  EXPECT_NO_THROW(RunDirectory{dir.file("run")});
}

TEST(RunDirectory, RemovesWhatAKilledRunLeft) {
  const TempDir dir;
  {
    RunDirectory run(dir.file("run"));
    add(run, 1, true);
  }
  fs::create_directories(dir.file("run/checkpoints/step-2.tmp"));
  const RunDirectory run(dir.file("run"));
  EXPECT_FALSE(fs::exists(dir.file("run/checkpoints/step-2.tmp")));
  EXPECT_EQ(test::read_bytes(dir.file("run/best/f")), "1");
}

TEST(RunDirectory, TheSameStepTwiceReplacesIt) {
  const TempDir dir;
  RunDirectory run(dir.file("run"));
  add(run, 1, true);
  run.add_checkpoint(1, false, 1, [](const std::string& d) { test::write_bytes(d + "/f", "again"); });
  EXPECT_EQ(test::read_bytes(dir.file("run/checkpoint/f")), "again");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.file("run/checkpoints")), {}), 1);
}

}  // namespace
}  // namespace rotor::train
