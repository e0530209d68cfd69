// A program on a terminal of its own, as a user sits before it.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace rotor::test {

class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& command);
  /// A function as the program, in a process of its own; it returns the exit status.
  explicit Terminal(const std::function<int()>& program);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys);
  /// What the program shows until `text` comes, that included; fails the test after 30 s without.
  std::string wait_for(const std::string& text);
  void send(int signal);
  /// Waits for its end: the exit status, or 128 + signal. Fails the test and kills it after 30 s.
  int wait();

 private:
  /// True in the new process.
  bool start();

  int master_ = -1;
  int pid_ = -1;
  std::string shown_;  // and not yet waited for
};

}  // namespace rotor::test
