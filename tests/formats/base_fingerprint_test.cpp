// One model in every format has one fingerprint; another model has another. What makes other vectors of a
// text makes another name of them.
#include "rotor/formats/base_fingerprint.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "export/convert.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/rotor_source.h"
#include "rotor/text/open_source.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor {
namespace {

void ignore(const exporting::ExportedTensor&) {}

/// The fingerprint of whatever lies at `path`, in both ways if there are two.
std::string fingerprint_of(const std::string& path) {
  const auto opened = text::open_source(path, {});
  const std::string found = base_fingerprint(*opened.model);
  EXPECT_EQ(found.size(), 16U);
  if (path.ends_with(".rotor")) {
    EXPECT_EQ(base_fingerprint(RotorFile(path)), found);
  }
  return found;
}

TEST(BaseFingerprint, EveryFormatHasTheSame) {
  std::map<std::string, std::set<std::string>> variants;
  for (const std::string variant : {"packed", "online", "bitnet-online", "bitnet-packed", "llama-packed",
                                    "qwen2-float-tied", "qwen2-online", "qwen2-packed"}) {
    SCOPED_TRACE(variant);
    const test::TempDir dir;
    test::write_golden_transformer(dir.file("base"), variant);
    const std::string expected = fingerprint_of(dir.file("base"));
    const auto base = text::open_source(dir.file("base"), {});
    for (const DenseType head : {DenseType::f32, DenseType::q8}) {
      export_rotor(*base.model, base.text, dir.file("base.rotor"), {.head = head}, ignore);
      EXPECT_EQ(fingerprint_of(dir.file("base.rotor")), expected);
    }
    export_hf(*base.model, base.text, dir.file("masters"), {.packed = false, .dtype = {}}, ignore);
    EXPECT_EQ(fingerprint_of(dir.file("masters")), expected);
    const bool is_float = variant == "qwen2-float-tied";
    if (!is_float) {
      export_hf(*base.model, base.text, dir.file("codes"), {.packed = true, .dtype = {}}, ignore);
      EXPECT_EQ(fingerprint_of(dir.file("codes")), expected);
    }
    variants[expected].insert(variant);
  }
  // transformers packed these of the same masters; the scales of bitnet-packed are rounded to bfloat16.
  std::set<std::set<std::string>> same;
  for (const auto& [fingerprint, names] : variants) same.insert(names);
  EXPECT_EQ(same, (std::set<std::set<std::string>>{{"packed", "online"},
                                                   {"bitnet-packed", "bitnet-online"},
                                                   {"llama-packed"},
                                                   {"qwen2-float-tied"},
                                                   {"qwen2-online"},
                                                   {"qwen2-packed"}}));
}

TEST(BaseFingerprint, GgufHasTheSame) {
  const test::TempDir dir;
  const std::string base = test::golden_path("bitnet-256");
  const std::string expected = fingerprint_of(base);
  for (const GgufType type : {GgufType::tq1_0, GgufType::tq2_0, GgufType::i2_s}) {
    const auto opened = text::open_source(base, {});
    export_gguf(*opened.model, opened.text, dir.file("m.gguf"), {.ternary = type}, ignore);
    EXPECT_EQ(fingerprint_of(dir.file("m.gguf")), expected) << gguf_type_name(type);
  }
}

TEST(BaseFingerprint, ClassifiersHaveOne) {
  const test::TempDir dir;
  test::write_random_checkpoint(dir.file("base"), test::small_mlp());
  test::write_random_model(dir.file("m.rotor"), test::small_mlp());
  EXPECT_EQ(fingerprint_of(dir.file("m.rotor")), fingerprint_of(dir.file("base")));
}

/// Of a random checkpoint, one value of which is another.
std::string changed(const ModelConfig& config, const std::string& name, size_t index, float factor) {
  const test::TempDir dir;
  test::write_random_checkpoint(dir.file("base"), config);
  const Checkpoint base(dir.file("base"));
  std::vector<float> values;
  std::filesystem::create_directories(dir.file("changed"));
  write_checkpoint(dir.file("changed"), config, [&](const TensorSpec& spec) -> std::span<const float> {
    values = base.tensor(spec.name);
    if (spec.name == name) values[index] *= factor;
    return values;
  });
  return fingerprint_of(dir.file("changed"));
}

TEST(BaseFingerprint, EveryLinearLayerCounts) {
  for (const Quantization quantization : {Quantization::ternary, Quantization::none}) {
    const ModelConfig config = test::small_transformer("bitnet", quantization);
    const std::string base = changed(config, "", 0, 1.0F);
    for (const TensorSpec& spec : tensor_table(config)) {
      const auto last = static_cast<size_t>(spec.shape[0] * (spec.shape.size() == 2 ? spec.shape[1] : 1)) - 1;
      const bool counts = spec.role == TensorRole::linear;
      EXPECT_EQ(changed(config, spec.name, last, -50.0F) != base, counts) << spec.name;
    }
  }
}

/// What names the vectors of a language model of one value everywhere, with these attachments.
std::string embedder_name(const RotorAttachments& attachments) {
  const test::TempDir dir;
  ModelConfig config = test::small_transformer("llama", Quantization::none);
  config.transformer.vocab_size = 300;
  RotorWriter writer(dir.file("m.rotor"), config, DenseType::f32, attachments);
  for (const TensorSpec& spec : tensor_table(config)) {
    writer.write_floats(spec.name, std::vector<float>(static_cast<size_t>(num_parameters({spec})), 0.5F));
  }
  writer.commit();
  return embedding_fingerprint(RotorFile(dir.file("m.rotor")));
}

TEST(EmbeddingFingerprint, KnowsEveryTokenizerSetting) {
  const text::BpeDefinition definition = test::small_bpe();
  const RotorAttachments attachments = text::ByteLevelBpe(definition).attachments();
  std::set<std::string> names = {embedder_name(attachments)};
  text::BpeDefinition other = definition;
  other.ignore_merges = !other.ignore_merges;
  names.insert(embedder_name(text::ByteLevelBpe(other).attachments()));
  other = definition;
  other.normalize_nfc = true;
  names.insert(embedder_name(text::ByteLevelBpe(other).attachments()));
  other = definition;
  other.split_pattern = text::kLlama3SplitPattern;
  names.insert(embedder_name(text::ByteLevelBpe(other).attachments()));
  RotorAttachments with_bos = attachments;
  with_bos.set_bos_token(97);
  names.insert(embedder_name(with_bos));
  EXPECT_EQ(names.size(), 5U);
}

TEST(EmbeddingFingerprint, ChatsChangeNothing) {
  const RotorAttachments attachments = text::ByteLevelBpe(test::small_bpe()).attachments();
  RotorAttachments chatty = attachments;
  chatty.set_chat_template("{{ messages[0].content }}");
  chatty.set_stop_tokens({97, 98});
  EXPECT_EQ(embedder_name(chatty), embedder_name(attachments));
}

}  // namespace
}  // namespace rotor
