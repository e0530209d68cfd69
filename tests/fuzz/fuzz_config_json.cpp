// config.json of checkpoints, and the `rotor.config` of .rotor files. What is accepted, is written and read
// again as the same.
#include "rotor/formats/config_json.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  return fuzz::run(size, [&] {
    const std::string text(fuzz::text_of(data, size));
    fuzz::attempt([&] { static_cast<void>(model_config_from_json(text, "fuzz")); });
    StoredQuantization stored;
    const ModelConfig config = model_config_from_json(text, "fuzz", &stored);
    const std::string written = model_config_to_json(config);
    fuzz::require(model_config_to_json(model_config_from_json(written, "written")) == written,
                  "a config does not come back");
  });
}
