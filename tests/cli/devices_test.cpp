// `rotor devices` and `rotor doctor` on whatever this machine has: every backend of the build must find a
// device here (PoCL, lavapipe), and one that computes wrongly must be seen.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "runtime/backends/backend.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using Environment = std::map<std::string, std::string>;

class Devices : public ::testing::Test {
 protected:
  test::CommandResult rotor(std::vector<std::string> arguments, const Environment& environment = {}) const {
    arguments.insert(arguments.begin(), test::program("rotor"));
    return test::run_command(arguments, {.environment = environment});
  }
  Json devices(std::vector<std::string> flags = {}, const Environment& environment = {}) const {
    flags.insert(flags.begin(), {"devices", "--json"});
    const test::CommandResult result = rotor(flags, environment);
    EXPECT_EQ(result.status, 0) << result.err;
    return parse_json(result.out, "devices").at("backends");
  }
  static std::vector<std::string> gpu_backends() {
    std::vector<std::string> names = runtime::backend_names();
    std::erase(names, "cpu");
    return names;
  }
  /// An environment in which no driver of a GPU is found.
  Environment no_drivers() const {
    const std::string nowhere = dir_.file("none");
    return {{"VK_ICD_FILENAMES", nowhere}, {"VK_DRIVER_FILES", nowhere}, {"OCL_ICD_VENDORS", nowhere}};
  }

  test::TempDir dir_;
};

/// The finding of `rotor doctor --json` that begins with `what`.
Json finding(const Json& doctor, const std::string& what) {
  for (const Json& found : doctor.at("findings")) {
    if (found.at("what").get<std::string>().starts_with(what)) return found;
  }
  ADD_FAILURE() << "nothing about " << what << " in " << doctor;
  return {{"what", what}, {"state", "missing"}, {"differing", Json::array()}};
}

TEST_F(Devices, AreListedByBackend) {
  const Json backends = devices();
  const test::CommandResult table = rotor({"devices"});
  ASSERT_EQ(table.status, 0) << table.err;
  std::vector<std::string> names;
  int automatic = 0;
  for (const Json& backend : backends) {
    const auto name = backend.at("backend").get<std::string>();
    names.push_back(name);
    EXPECT_FALSE(backend.contains("error")) << backend;
    EXPECT_FALSE(backend.at("devices").empty()) << name << ": no device where the tests run";
    for (size_t i = 0; i < backend.at("devices").size(); ++i) {
      const Json& device = backend.at("devices")[i];
      SCOPED_TRACE(dump_json(device));
      const bool is_cpu = name == "cpu";
      EXPECT_EQ(device.at("device"), is_cpu ? Json(nullptr) : Json(i));
      EXPECT_EQ(device.at("driver").is_null(), is_cpu);
      EXPECT_TRUE(device.at("type").is_string());
      EXPECT_GT(device.at("memory_bytes"), 1 << 20);
      EXPECT_GT(device.at("free_bytes"), 1 << 20);
      EXPECT_LE(device.at("free_bytes"), device.at("memory_bytes"));
      EXPECT_FALSE(device.at("features").empty());
      EXPECT_TRUE(device.at("subgroup").is_null() || device.at("subgroup") > 0);
      EXPECT_EQ(device.contains("kernels") && device.contains("threads"), is_cpu);
      const std::string line =
          cat(is_cpu ? name : cat(name, " ", i), ": ", device.at("name").get<std::string>(), "\n");
      EXPECT_NE(table.out.find(line), std::string::npos) << table.out;
      automatic += device.at("auto") == true ? 1 : 0;
    }
  }
  EXPECT_EQ(names, runtime::backend_names());
  EXPECT_EQ(automatic, 1);
  EXPECT_NE(table.out.find("--backend auto"), std::string::npos);
}

TEST_F(Devices, CanBeChosen) {
  for (const std::string& name : gpu_backends()) {
    const Json all = devices({"--backend", name});
    ASSERT_EQ(all.size(), 1U);
    const auto first = all[0].at("devices").at(0).at("name").get<std::string>();
    EXPECT_EQ(devices({"--backend", name, "--device", "0"})[0].at("devices").size(), 1U);
    EXPECT_EQ(devices({"--backend", name, "--device", first.substr(1)})[0].at("devices")[0],
              all[0].at("devices")[0]);
    const auto none = rotor({"devices", "--backend", name, "--device", "99"});
    EXPECT_EQ(none.status, 1);
    EXPECT_NE(none.err.find("--device: backend " + name), std::string::npos) << none.err;
  }
  EXPECT_EQ(devices({"--backend", "cpu"}).size(), 1U);
  EXPECT_EQ(rotor({"devices", "--device", "0"}).status, 2);
  for (const std::string command : {"devices", "doctor"}) {
    const auto unknown = rotor({command, "--backend", "abacus"});
    EXPECT_EQ(unknown.status, 1);
    EXPECT_NE(unknown.err.find("expected one of cpu"), std::string::npos) << unknown.err;
    EXPECT_EQ(rotor({command, "--backend", "cpu", "--device", "0"}).status, 1);
  }
}

TEST_F(Devices, MayBeNone) {
  for (const Json& backend : devices({}, no_drivers())) {
    EXPECT_EQ(backend.at("devices").size(), backend.at("backend") == "cpu" ? 1U : 0U) << backend;
  }
  const auto table = rotor({"devices", "--check", "--tune"}, no_drivers());
  EXPECT_EQ(table.status, 0) << table.err;
  const auto checked = rotor({"doctor", "--json"}, no_drivers());
  EXPECT_EQ(checked.status, 0) << checked.err;
  test::write_random_model(dir_.file("m.rotor"), test::small_transformer());
  for (const std::string& name : gpu_backends()) {
    EXPECT_NE(table.out.find(name + ": no device\n"), std::string::npos) << table.out;
    const Json found = finding(parse_json(checked.out, "doctor"), "ops on " + name);
    EXPECT_EQ(found.at("state"), "not here");
    EXPECT_NE(found.at("reason"), "");
    for (const std::string command : {"devices", "doctor", "bench"}) {
      std::vector<std::string> arguments = {command, "--backend", name};
      if (command == "bench") arguments.push_back(dir_.file("m.rotor"));
      const auto asked = rotor(arguments, no_drivers());
      EXPECT_EQ(asked.status, 1) << command;
      EXPECT_NE(asked.err.find(cat("backend ", name, ": no device")), std::string::npos) << asked.err;
    }
  }
}

TEST_F(Devices, AreTunedAnewAndTheChoiceIsKept) {
  const Environment home = {{"XDG_CACHE_HOME", dir_.file("cache")}};
  for (const std::string& name : gpu_backends()) {
    const Json backends = devices({"--backend", name, "--tune"}, home);
    for (const Json& device : backends.at(0).at("devices")) {
      const Json kept = read_json_file(dir_.file("cache") + "/rotor/gpu-tuning.json");
      bool found = false;
      for (const auto& [key, tuning] : kept.items()) {
        found =
            found || (key.find(cat("|", name, "|")) != std::string::npos && tuning == device.at("tuning"));
      }
      EXPECT_TRUE(found) << device << " in " << kept;
    }
  }
}

TEST_F(Devices, AreSoundOpByOpAndWithModels) {
  for (const Json& backend : devices({"--check"})) {
    for (const Json& device : backend.at("devices")) {
      if (backend.at("backend") == "cpu") continue;
      EXPECT_GT(device.at("check").at("ops"), 50) << device;
      EXPECT_EQ(device.at("check").at("differing"), Json::array()) << device;
    }
  }
  const auto result = rotor({"doctor", "--json"});
  EXPECT_EQ(result.status, 0) << result.err;
  const Json doctor = parse_json(result.out, "doctor");
  EXPECT_EQ(doctor.at("sound"), true);
  const std::set<std::string> sound = {"equal", "agrees", "cannot run here"};
  for (const Json& found : doctor.at("findings")) EXPECT_TRUE(sound.contains(found.at("state"))) << found;
  for (const std::string& name : gpu_backends()) {
    for (const std::string what : {"ops", "golden model", "odd model"}) {
      EXPECT_EQ(finding(doctor, cat(what, " on ", name, " 0 (")).at("state"), "agrees") << name << what;
    }
  }
}

#ifdef ROTOR_FAULT_LAYER_DIR
/// Vulkan with tests/support/vulkan_faults.cpp in between.
Environment with_fault(const std::string& fault, int after) {
  return {{"VK_ADD_LAYER_PATH", ROTOR_FAULT_LAYER_DIR},
          {"VK_INSTANCE_LAYERS", "VK_LAYER_ROTOR_faults"},
          {fault, std::to_string(after)}};
}

TEST_F(Devices, ThatComputeWronglyAreSeen) {
  // All kernels do nothing, or only those of ops that come late.
  for (const int after : {0, 300}) {
    SCOPED_TRACE(after);
    const Environment broken = with_fault("ROTOR_FAULT_DISPATCH", after);
    const auto checked = rotor({"devices", "--check", "--backend", "vulkan"}, broken);
    EXPECT_EQ(checked.status, 1) << checked.err;
    EXPECT_NE(checked.out.find("  DIFFERS: "), std::string::npos) << checked.out;
    const auto result = rotor({"doctor", "--json", "--backend", "vulkan"}, broken);
    EXPECT_EQ(result.status, 1) << result.err;
    const Json doctor = parse_json(result.out, "doctor");
    EXPECT_EQ(doctor.at("sound"), false);
    const Json ops = finding(doctor, "ops on vulkan 0 (");
    EXPECT_EQ(ops.at("state"), "differs");
    const std::string differing = dump_json(ops.at("differing"));
    EXPECT_EQ(differing.find("linear, int8, 1 x 200 (off by") != std::string::npos, after == 0) << differing;
    EXPECT_NE(differing.find("rms_norm, 1000 (off by"), std::string::npos) << differing;
    if (after == 0) {
      EXPECT_EQ(finding(doctor, "golden model on vulkan 0 (").at("state"), "differs");
      EXPECT_EQ(finding(doctor, "odd model on vulkan 0 (").at("state"), "differs");
    }
  }
}

TEST_F(Devices, ThatComputeWronglyAreLeftForTheCpu) {
  test::write_random_model(dir_.file("m.rotor"), test::small_transformer());
  const std::vector<std::string> arguments = {
      "run", dir_.file("m.rotor"), "--tokens", "1 2 3", "-n", "8", "--temp", "0", "--backend"};
  const auto run_on = [&](const std::string& backend, const Environment& environment) {
    std::vector<std::string> with_backend = arguments;
    with_backend.push_back(backend);
    return rotor(with_backend, environment);
  };
  const auto cpu = run_on("cpu", {});
  ASSERT_EQ(cpu.status, 0) << cpu.err;
  const auto refused = run_on("vulkan", with_fault("ROTOR_FAULT_DISPATCH", 0));
  EXPECT_EQ(refused.status, 0) << refused.err;
  EXPECT_EQ(refused.out, cpu.out);
  for (const std::string part : {"is refused", "The CPU takes over", "backend cpu, kernels"}) {
    EXPECT_NE(refused.err.find(part), std::string::npos) << refused.err;
  }
  const auto sound = run_on("vulkan", {});
  EXPECT_EQ(sound.status, 0) << sound.err;
  EXPECT_NE(sound.err.find("backend vulkan (llvmpipe"), std::string::npos) << sound.err;
}

TEST_F(Devices, ThatAreLostHaveFailed) {
  const auto result =
      rotor({"doctor", "--json", "--backend", "vulkan"}, with_fault("ROTOR_FAULT_SUBMIT", 20));
  EXPECT_EQ(result.status, 1) << result.err;
  const Json doctor = parse_json(result.out, "doctor");
  for (const std::string what : {"ops on vulkan 0 (", "golden model on vulkan 0 ("}) {
    const Json found = finding(doctor, what);
    EXPECT_EQ(found.at("state"), "failed");
    EXPECT_NE(found.value("reason", "").find("lost"), std::string::npos) << found;
  }
}
#endif

TEST_F(Devices, ExplainThemselves) {
  const auto help = rotor({"devices", "--help"});
  EXPECT_EQ(help.status, 0);
  for (const std::string part : {"--tune", "--check", "--json", "examples:"}) {
    EXPECT_NE(help.out.find(part), std::string::npos) << help.out;
  }
}

}  // namespace
}  // namespace rotor
