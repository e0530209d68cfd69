// Interrupts that are noted: none is lost, whenever it comes and whichever thread the system gives it to.
#include "rotor/tool/interrupt.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <thread>

namespace rotor::tool {
namespace {

constexpr unsigned kSeconds = 30;  // whoever waits in vain is ended by SIGALRM

/// The exit status is 0 if `body` returns true; it gets both ends of a pipe.
template <class Body>
[[noreturn]] void exit_with(Body body) {
  alarm(kSeconds);
  note_interrupts();
  std::array<int, 2> ends{};
  _exit(pipe(ends.data()) == 0 && body(ends[0], ends[1]) ? 0 : 1);
}

/// In a process of its own, where handlers may stay.
template <class Body>
void expect_in_child(Body body) {
  EXPECT_EXIT(exit_with(body), ::testing::ExitedWithCode(0), "");
}

TEST(InterruptTest, OneBeforeTheWaitEndsItUntilItIsTaken) {
  expect_in_child([](int in, int out) {
    std::raise(SIGINT);
    if (wait_for_input(in) != Wake::interrupt || wait_for_input(in) != Wake::interrupt) return false;
    if (!take_interrupt() || take_interrupt()) return false;
    return write(out, "x", 1) == 1 && wait_for_input(in) == Wake::input && !interrupted();
  });
}

TEST(InterruptTest, OneThatAnotherThreadHandlesEndsTheWait) {
  expect_in_child([](int in, int) {
    std::thread other([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      pthread_kill(pthread_self(), SIGINT);
    });
    const Wake wake = wait_for_input(in);
    other.join();
    return wake == Wake::interrupt && take_interrupt();
  });
}

TEST(InterruptTest, ManyThatNobodyWaitsFor) {
  expect_in_child([](int in, int out) {
    for (int i = 0; i < 100000; ++i) std::raise(SIGINT);  // more than a pipe holds
    return take_interrupt() && write(out, "x", 1) == 1 && wait_for_input(in) == Wake::input;
  });
}

TEST(InterruptTest, SigtermStaysAndTheSecondOneEnds) {
  expect_in_child([](int in, int) {
    std::raise(SIGTERM);
    const bool first = wait_for_input(in) == Wake::interrupt && !take_interrupt();
    return first && interrupted() && wait_for_input(in) == Wake::interrupt;
  });
  EXPECT_EXIT(
      {
        note_interrupts();
        std::raise(SIGTERM);
        std::raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST(InterruptTest, ATerminalThatChangesWakesOnce) {
  for (const int signal : {SIGCONT, SIGWINCH}) {
    expect_in_child([signal](int in, int out) {
      std::raise(signal);
      if (wait_for_input(in) != Wake::terminal) return false;
      return write(out, "x", 1) == 1 && wait_for_input(in) == Wake::input && !take_interrupt();
    });
  }
}

TEST(InterruptTest, AnIgnoredOneStaysIgnored) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, SIG_IGN);
        note_interrupts();
        std::raise(SIGINT);
        _exit(take_interrupt() ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(InterruptTest, TheEndOfTheInputIsSomethingToRead) {
  expect_in_child([](int in, int out) {
    close(out);
    return wait_for_input(in) == Wake::input;
  });
}

}  // namespace
}  // namespace rotor::tool
