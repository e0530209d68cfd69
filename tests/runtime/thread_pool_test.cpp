// Every part is computed exactly once, whoever computes it.
#include "runtime/backends/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

TEST(ThreadPool, EveryPartOnce) {
  for (const int64_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 5, 64}) {
        std::vector<int> seen(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        EXPECT_EQ(seen, std::vector<int>(static_cast<size_t>(count), 1))
            << threads << " " << count << " " << grain;
      }
    }
  }
}

TEST(ThreadPool, WakesAfterSleeping) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 2 == 0 ? 5 : 0));
    std::atomic<int64_t> sum = 0;
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    EXPECT_EQ(sum, 100);
  }
}

TEST(ThreadPool, ErrorsReachTheCallerAndThePoolGoesOn) {
  ThreadPool pool(3);
  for (int64_t bad = 0; bad < 30; bad += 7) {
    EXPECT_THROW(pool.parallel_for(30, 1,
                                   [&](int64_t begin, int64_t end) {
                                     if (begin <= bad && bad < end) throw std::bad_alloc();
                                   }),
                 std::bad_alloc);
    std::atomic<int64_t> sum = 0;
    pool.parallel_for(30, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    EXPECT_EQ(sum, 30);
  }
}

TEST(ThreadPool, PinnedThreadsHaveACoreEach) {
  std::thread([] {  // pinning binds the caller, too: not the one of the other tests
    cpu_set_t allowed;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    const int64_t processors = CPU_COUNT(&allowed);
    {
      ThreadPool pool(processors, true);
      std::mutex mutex;
      std::map<std::thread::id, std::set<int>> seen;
      // Each part waits until all threads are in one, so that every thread has a part.
      std::atomic<int64_t> inside = 0;
      pool.parallel_for(processors, 1, [&](int64_t, int64_t) {
        for (++inside; inside < processors;) std::this_thread::yield();
        cpu_set_t mine;
        EXPECT_EQ(sched_getaffinity(0, sizeof(mine), &mine), 0);
        EXPECT_EQ(CPU_COUNT(&mine), 1);
        const std::lock_guard lock(mutex);
        for (int i = 0; i < CPU_SETSIZE; ++i) {
          if (CPU_ISSET(i, &mine)) seen[std::this_thread::get_id()].insert(i);
        }
      });
      std::set<int> all;
      for (const auto& [id, ids] : seen) all.insert(ids.begin(), ids.end());
      EXPECT_EQ(std::ssize(seen), processors);
      EXPECT_EQ(std::ssize(all), processors);
    }
    cpu_set_t after;
    ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&allowed, &after)) << "the caller is free again";
    EXPECT_EQ(ThreadPool(0, true).threads(), processors);
    test::expect_error([&] { ThreadPool(processors + 1, true); },
                       {"pinning", std::to_string(processors), std::to_string(processors + 1)});
  })
      .join();
}

TEST(ThreadPool, CallersTakeTurns) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<int64_t> sum = 0;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        pool.parallel_for(10, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 10);
}

}  // namespace
}  // namespace rotor::runtime
