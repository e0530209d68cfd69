# The kernels of GPUs, embedded into the programs: as SPIR-V for Vulkan, as source for OpenCL.

# rotor_shaders(TARGET FOLDER): compiles the kernels that FOLDER/variants.txt lists to SPIR-V and adds to TARGET a
# table of them, runtime/backends/vulkan/shaders.h's shaders(). A variant's name is its line with single spaces.
function(rotor_shaders target folder)
  set(list ${folder}/variants.txt)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list})
  file(STRINGS ${list} lines REGEX "^[^#]")
  set(binaries ${CMAKE_CURRENT_BINARY_DIR}/shaders)
  file(MAKE_DIRECTORY ${binaries})
  set(words "")
  set(rows "")
  set(outputs "")
  foreach(line IN LISTS lines)
    separate_arguments(parts UNIX_COMMAND "${line}")
    list(JOIN parts " " variant)
    string(MAKE_C_IDENTIFIER "${variant}" id)
    list(POP_FRONT parts kernel)
    list(TRANSFORM parts PREPEND "-D")
    set(output ${binaries}/${id}.inc)
    add_custom_command(
      OUTPUT ${output}
      COMMAND ${Vulkan_GLSLC_EXECUTABLE} -std=450 --target-env=vulkan1.1 -O -I ${folder} -fshader-stage=comp
              $<$<BOOL:${ROTOR_WERROR}>:-Werror> ${parts} -mfmt=num -MD -MF ${output}.d -o ${output} ${folder}/${kernel}.comp
      DEPENDS ${folder}/${kernel}.comp
      DEPFILE ${output}.d
      COMMENT "Compiling kernel ${variant}"
      COMMAND_EXPAND_LISTS VERBATIM)
    list(APPEND outputs ${output})
    string(APPEND words "constexpr uint32_t k_${id}[] = {\n#include \"${output}\"\n};\n")
    string(APPEND rows "    {\"${variant}\", k_${id}},\n")
  endforeach()
  # CONFIGURE leaves the file alone if nothing changed.
  file(CONFIGURE OUTPUT ${binaries}/shaders.cpp @ONLY CONTENT [[
#include "runtime/backends/vulkan/shaders.h"

namespace rotor::runtime::vulkan {
namespace {

@words@
constexpr Shader kShaders[] = {
@rows@};

}  // namespace

std::span<const Shader> shaders() { return kShaders; }

}  // namespace rotor::runtime::vulkan
]])
  target_sources(${target} PRIVATE ${binaries}/shaders.cpp)
  set_source_files_properties(${binaries}/shaders.cpp PROPERTIES OBJECT_DEPENDS "${outputs}")
endfunction()

# rotor_opencl_kernels(TARGET FOLDER): adds to TARGET the sources of all kernels, headers put in
# (runtime/backends/opencl/opencl_sources.h).
function(rotor_opencl_kernels target folder)
  set(script ${CMAKE_SOURCE_DIR}/cmake/EmbedOpenClKernels.cmake)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/opencl_sources.cpp)
  file(GLOB inputs CONFIGURE_DEPENDS ${folder}/*.comp ${folder}/*.h)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DKERNELS=${folder} -DOUT=${out} -P ${script}
    DEPENDS ${inputs} ${script} COMMENT "Embedding OpenCL kernels" VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
