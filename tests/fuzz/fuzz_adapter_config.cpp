// adapter_config.json of PEFT adapters of anyone. What is accepted, is written and read again as the same,
// and answers for every layer.
#include "rotor/formats/lora_config.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  return fuzz::run(size, [&] {
    const LoraConfig config = lora_config_from_json(fuzz::text_of(data, size), "fuzz");
    const std::string written = lora_config_to_json(config);
    fuzz::require(lora_config_to_json(lora_config_from_json(written, "written")) == written,
                  "a config does not come back");
    for (const char* module :
         {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head"}) {
      fuzz::attempt([&] {
        static_cast<void>(config.adapts(module));
        fuzz::require(config.rank_of(module) > 0, "a layer without rank");
        static_cast<void>(config.scale_of(module));
      });
    }
  });
}
