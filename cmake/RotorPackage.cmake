# What is installed, and the Debian package `rotor`: the runtime alone, with its service. From the preset
# runtime-only: cpack -G DEB --config build/runtime-only/CPackConfig.cmake
include(GNUInstallDirs)
set(packaging ${CMAKE_SOURCE_DIR}/packaging)
install(TARGETS rotor RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${packaging}/rotor.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${packaging}/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(ROTOR_SERVER)
  install(FILES ${CMAKE_SOURCE_DIR}/docs/deploy.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
  install(FILES ${packaging}/nginx.conf ${packaging}/haproxy.cfg DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
  # The system's service belongs to the package alone: cmake --install, perhaps into a home directory, leaves it out.
  set(service COMPONENT service EXCLUDE_FROM_ALL)
  install(FILES ${packaging}/rotor.service DESTINATION lib/systemd/system ${service})
  install(FILES ${packaging}/rotor.conf DESTINATION /etc/rotor ${service})
  install(FILES ${packaging}/keys DESTINATION /etc/rotor PERMISSIONS OWNER_READ OWNER_WRITE ${service})
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};rotor;Unspecified;/;${CMAKE_BINARY_DIR};rotor;service;/")
set(CPACK_PACKAGE_NAME rotor)
set(CPACK_PACKAGE_VERSION ${ROTOR_VERSION})
set(CPACK_PACKAGE_CONTACT "The Rotor developers <rotor@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "runs packed ternary neural networks, also as a server")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Language models and classifiers whose weights are -1, 0 and +1, packed into bit-planes: on the
 processor, or on GPUs through Vulkan and OpenCL, from a self-contained file.
 .
 rotor run and rotor chat work on the terminal; rotor serve offers OpenAI's API over HTTP to several clients at
 once. Training and conversion are not part of this package.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Looked for when the program runs.
if(ROTOR_RAG)
  set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "poppler-utils")
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libvulkan1, ocl-icd-libopencl1, nginx | haproxy")
if(ROTOR_SERVER)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${packaging}/debian/conffiles ${packaging}/debian/postinst ${packaging}/debian/prerm ${packaging}/debian/postrm)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
endif()
include(CPack)
