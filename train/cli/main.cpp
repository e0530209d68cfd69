// rotor-train: trains ternary models on LibTorch.
#include <torch/torch.h>

#include "rotor/core/error.h"
#include "rotor/tool/main.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"

namespace {

/// LibTorch's errors carry a stack trace for its developers; users get the message.
template <int (*kCommand)(int, char**)>
int without_backtrace(int argc, char** argv) {
  try {
    return kCommand(argc, argv);
  } catch (const c10::Error& e) {
    rotor::fail("LibTorch: ", e.what_without_backtrace());
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace rotor::train::cli;
  remember_arguments(argc, argv);
  return rotor::tool::run_commands(
      argc, argv, "rotor-train", "rotor-train trains ternary neural networks.",
      {{"fit", "train a model as a config says", without_backtrace<fit>},
       {"eval", "loss, accuracy and perplexity of a checkpoint over the whole validation split",
        without_backtrace<eval>},
       {"tokenizer", "train the tokenizer of a config by itself", without_backtrace<tokenizer>},
       {"logits", "the training module's own logits, to compare with the packed model",
        without_backtrace<logits>},
       {"plot", "the curves and the ternary telemetry of a run as a web page", plot}});
}
