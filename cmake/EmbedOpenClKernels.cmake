# Run by the build: cmake -DKERNELS=<folder> -DOUT=<file.cpp> -P EmbedOpenClKernels.cmake
# Writes every KERNELS/*.comp as a string, with the headers that it includes put in.
file(GLOB files LIST_DIRECTORIES false ${KERNELS}/*.comp)
file(GLOB headers RELATIVE ${KERNELS} ${KERNELS}/*.h)
set(entries "")
set(texts "")
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} text)
  foreach(header ${headers})
    file(READ ${KERNELS}/${header} header_text)
    string(REPLACE "#include \"${header}\"\n" "${header_text}\n" text "${text}")
  endforeach()
  string(APPEND texts "constexpr const char* k_${name} = R\"__(${text})__\";\n")
  string(APPEND entries "    KernelSource{\"${name}\", k_${name}},\n")
endforeach()
file(WRITE ${OUT} "// Made by cmake/EmbedOpenClKernels.cmake.
#include <array>

#include \"runtime/backends/opencl/opencl_sources.h\"

namespace rotor::runtime::gpu {
namespace {

${texts}
constexpr std::array kSources = {
${entries}};

}  // namespace

std::span<const KernelSource> opencl_sources() {
  return kSources;
}

}  // namespace rotor::runtime::gpu
")
