# embed_opencl_kernels(VARIABLE): a source file that holds the kernels as OpenCL C, made anew when one changes.
function(embed_opencl_kernels variable)
  set(kernels ${CMAKE_SOURCE_DIR}/runtime/backends/gpu/kernels)
  set(script ${CMAKE_SOURCE_DIR}/cmake/EmbedKernels.cmake)
  set(out ${CMAKE_BINARY_DIR}/generated/opencl_sources.cpp)
  file(GLOB inputs CONFIGURE_DEPENDS ${kernels}/*.comp ${kernels}/*.h)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DKERNELS=${kernels} -DOUT=${out} -P ${script}
    DEPENDS ${inputs} ${script} COMMENT "Embedding OpenCL kernels" VERBATIM)
  set(${variable} ${out} PARENT_SCOPE)
endfunction()
