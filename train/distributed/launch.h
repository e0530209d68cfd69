// Which rank of how many this process is, and where rank 0 is to be found: what torchrun, mpirun and srun
// leave in the environment. It starts no process and opens no connection.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace rotor::train {

struct Launch {
  int64_t rank = 0;
  int64_t size = 1;
  int64_t local_rank = 0;  ///< among the ranks of this machine: its GPU
  int64_t local_size = 1;  ///< ranks of this machine, which share its cores; 1 if the launcher does not say
  std::string address;     ///< of rank 0
  int64_t port = 0;        ///< where rank 0 listens
};

/// Looks up a variable; nullptr if it is not set.
using Environment = std::function<const char*(const char*)>;

/// Reads RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE (torchrun); else OMPI_COMM_WORLD_RANK, _SIZE,
/// _LOCAL_RANK, _LOCAL_SIZE (Open MPI); else SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID (srun). With none of
/// them the process is alone. Rank 0 is at MASTER_ADDR and MASTER_PORT; without these it is at 127.0.0.1 and
/// 29500 if mpirun or srun says that all ranks are on one machine.
/// Where torchrun holds MASTER_PORT for itself (TORCHELASTIC_USE_AGENT_STORE), rank 0 listens on the next
/// one: the protocol of torchrun's store is not the same in every LibTorch. ROTOR_STORE_PORT overrides both.
/// Throws Error naming the variable if one is missing, is no number, is out of range or contradicts another.
Launch read_launch(const Environment& environment);
/// The same of this process.
Launch read_launch();

}  // namespace rotor::train
