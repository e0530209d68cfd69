// One table of names a launcher.
#include "train/distributed/launch.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "rotor/core/error.h"

namespace rotor::train {
namespace {

constexpr int64_t kDefaultPort = 29500;
constexpr int64_t kLastPort = 65535;
constexpr int64_t kMaxRanks = 1 << 20;

struct Names {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};

constexpr Names kTorchrun = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
constexpr Names kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                            "OMPI_COMM_WORLD_LOCAL_SIZE"};
constexpr Names kSlurm = {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"};

class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  bool has(const char* name) const { return environment_(name) != nullptr; }
  std::string text(const char* name) const { return has(name) ? environment_(name) : ""; }

  std::optional<int64_t> integer(const char* name, int64_t low, int64_t high) const {
    if (!has(name)) return std::nullopt;
    const std::string value = text(name);
    int64_t result = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc() || end != value.data() + value.size() || result < low || result > high) {
      fail("environment: ", name, ": expected a number from ", low, " to ", high, ", found \"", value, "\"");
    }
    return result;
  }
  int64_t required(const char* name, int64_t low, int64_t high, const char* because) const {
    const auto value = integer(name, low, high);
    if (!value) fail("environment: ", because, " is set and ", name, " is not; expected both or neither");
    return *value;
  }

 private:
  const Environment& environment_;
};

void read_ranks(const Variables& variables, const Names& names, Launch& launch) {
  launch.size = variables.required(names.size, 1, kMaxRanks, names.rank);
  launch.rank = variables.required(names.rank, 0, kMaxRanks, names.size);
  if (launch.rank >= launch.size) {
    fail("environment: ", names.rank, ": expected less than ", names.size, " (", launch.size, "), found ",
         launch.rank);
  }
  const auto local_rank = variables.integer(names.local_rank, 0, kMaxRanks);
  launch.local_size = variables.integer(names.local_size, 1, kMaxRanks).value_or(1);
  launch.local_rank = local_rank.value_or(0);
  if (local_rank && variables.has(names.local_size) && launch.local_rank >= launch.local_size) {
    fail("environment: ", names.local_rank, ": expected less than ", names.local_size, " (",
         launch.local_size, "), found ", launch.local_rank);
  }
}

/// mpirun may start one torchrun a machine; then its ranks are not ours. Without a torchrun they must agree.
void check_agreement(const Variables& variables) {
  if (variables.has("TORCHELASTIC_RUN_ID") || !variables.has(kTorchrun.rank)) return;
  for (const auto& [ours, theirs] :
       {std::pair{kTorchrun.rank, kOpenMpi.rank}, std::pair{kTorchrun.size, kOpenMpi.size}}) {
    if (variables.has(theirs) && variables.text(ours) != variables.text(theirs)) {
      fail("environment: ", ours, "=", variables.text(ours), " contradicts ", theirs, "=",
           variables.text(theirs), "; unset one pair");
    }
  }
}

void read_address(const Variables& variables, bool one_machine, Launch& launch) {
  launch.address = variables.text("MASTER_ADDR");
  auto port = variables.integer("MASTER_PORT", 1, kLastPort);
  if (launch.address.empty() && one_machine) launch.address = "127.0.0.1";
  if (!port && one_machine) port = kDefaultPort;
  if (launch.address.empty() || !port) {
    fail("environment: there are ", launch.size, " ranks, and ",
         launch.address.empty() ? "MASTER_ADDR" : "MASTER_PORT",
         " is not set; expected the machine of rank 0 in MASTER_ADDR and a free port of it in MASTER_PORT");
  }
  launch.port = *port;
  if (variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True") {
    launch.port = launch.port < kLastPort ? launch.port + 1 : launch.port - 1;
  }
  if (const auto own = variables.integer("ROTOR_STORE_PORT", 1, kLastPort)) launch.port = *own;
}

}  // namespace

Launch read_launch(const Environment& environment) {
  const Variables variables(environment);
  check_agreement(variables);
  Launch launch;
  bool one_machine = false;
  if (variables.has(kTorchrun.rank) || variables.has(kTorchrun.size)) {
    read_ranks(variables, kTorchrun, launch);
  } else if (variables.has(kOpenMpi.rank) || variables.has(kOpenMpi.size)) {
    read_ranks(variables, kOpenMpi, launch);
    one_machine = launch.local_size == launch.size;
  } else if (variables.has(kSlurm.rank)) {  // the number of tasks alone is in every shell of an allocation
    read_ranks(variables, kSlurm, launch);
    one_machine = variables.text("SLURM_NNODES") == "1";
    if (one_machine) launch.local_size = launch.size;
  }
  if (launch.size > 1) read_address(variables, one_machine, launch);
  return launch;
}

Launch read_launch() {
  return read_launch([](const char* name) { return std::getenv(name); });
}

}  // namespace rotor::train
