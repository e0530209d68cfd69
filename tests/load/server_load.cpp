// Many clients of a running `rotor serve`: how fast it answers them, or whether it outlasts them. Prints
// JSON.
#include <cstdio>
#include <sstream>

#include "rotor/tool/options.h"
#include "tests/load/soak.h"
#include "tests/load/speed.h"

namespace rotor::load {
namespace {

constexpr const char* kExamples =
    "  server_load --port 8080 --streams \"1 4 16\" --tokens 64          tokens a second and time to first "
    "token\n"
    "  server_load --port 8080 --soak 10000 --clients 64 --pid $PID     clients that misbehave\n";

int run(int argc, char** argv) {
  cxxopts::Options options("server_load", "Many clients of a running `rotor serve`.");
  options.add_options()("host", "address", cxxopts::value<std::string>()->default_value("127.0.0.1"))(
      "port", "port", cxxopts::value<int>()->default_value("8080"))(
      "streams", "numbers of streams at once", cxxopts::value<std::string>()->default_value("1 2 4 8 16"))(
      "rounds", "of each", cxxopts::value<int64_t>()->default_value("5"))(
      "tokens", "of each answer", cxxopts::value<int64_t>()->default_value("64"))(
      "words", "of each prompt", cxxopts::value<int64_t>()->default_value("8"))(
      "soak", "so many requests of clients that misbehave", cxxopts::value<int64_t>())(
      "clients", "of the soak", cxxopts::value<int64_t>()->default_value("64"))(
      "polite", "clients of the soak behave")("pid", "of the server, whose memory is watched",
                                              cxxopts::value<int64_t>()->default_value("0"))(
      "seed", "of the soak", cxxopts::value<uint64_t>()->default_value("1"));
  const auto parsed = tool::parse_options(options, argc, argv, {}, kExamples);
  if (!parsed) return 0;
  const test::HttpAddress address{(*parsed)["host"].as<std::string>(), (*parsed)["port"].as<int>()};
  if (parsed->count("soak") != 0) {
    const Json result = soak(address, {.requests = (*parsed)["soak"].as<int64_t>(),
                                       .clients = (*parsed)["clients"].as<int64_t>(),
                                       .pid = (*parsed)["pid"].as<int64_t>(),
                                       .seed = (*parsed)["seed"].as<uint64_t>(),
                                       .hostile = parsed->count("polite") == 0});
    std::printf("%s\n", dump_json(result, 2).c_str());
    return result.at("wrong") == 0 && !result.at("outcomes").contains("failed") ? 0 : 1;
  }
  const SpeedOptions speed{.rounds = (*parsed)["rounds"].as<int64_t>(),
                           .tokens = (*parsed)["tokens"].as<int64_t>(),
                           .words = (*parsed)["words"].as<int64_t>()};
  std::istringstream counts((*parsed)["streams"].as<std::string>());
  for (int64_t streams = 0; counts >> streams;) {
    const Json result = measure_speed(address, streams, speed);
    std::printf("%s\n", dump_json(result).c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace rotor::load

int main(int argc, char** argv) {
  return rotor::tool::run_guarded("server_load", [&] { return rotor::load::run(argc, argv); });
}
