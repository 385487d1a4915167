# How a public library is built for others and installed: shared with a SONAME
# and a version script, static beside it, pkg-config and CMake files.
#
# The SONAME's number is the ABI's; it changes when a symbol of the public
# headers is removed or means something else.
set(WAFT_ABI 0)

set(CMAKE_SKIP_INSTALL_RPATH OFF)
file(RELATIVE_PATH waft_bin_to_lib
  ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH waft_pc_to_prefix
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
# An installed tree works wherever it stands.
set(CMAKE_INSTALL_RPATH "$ORIGIN/${waft_bin_to_lib}")

# The archive holds one object in which all but the public symbols are local,
# so that a static libwaft cannot clash with its host's names.
function(_waft_static_library target name)
  set(objects "$<TARGET_OBJECTS:${target}>")
  foreach(internal ${ARGN})
    list(APPEND objects "$<TARGET_OBJECTS:${internal}>")
  endforeach()
  set(archive ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/lib${name}.a)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  add_custom_command(OUTPUT ${archive}
    COMMAND ${CMAKE_C_COMPILER} -nostdlib -r -o ${object} ${objects}
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${object}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CMAKE_AR} rcsD ${archive} ${object}
    DEPENDS ${objects} ${target} ${ARGN}
    COMMENT "Archiving lib${name}.a"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${target}_archive ALL DEPENDS ${archive})
  install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# waft_install_library(<shared target>
#   NAME <name>                 libNAME.so, NAME.pc; waft:: and NAME without waft-
#   DESCRIPTION <text>
#   HEADERS <file...>           installed as <waft/...>
#   [INTERNAL <target...>]      static libraries of this tree it contains
#   [REQUIRES <module...>]      pkg-config modules that its header includes
#   [REQUIRES_PRIVATE <module...>]  and those that static linking needs
#   [LIBS_PRIVATE <flag...>])
function(waft_install_library target)
  cmake_parse_arguments(arg "" "NAME;DESCRIPTION"
    "HEADERS;INTERNAL;REQUIRES;REQUIRES_PRIVATE;LIBS_PRIVATE" ${ARGN})
  set(map ${CMAKE_SOURCE_DIR}/cmake/waft.map)
  string(REGEX REPLACE "^waft-" "" export_name ${arg_NAME})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${arg_NAME}
    VERSION ${PROJECT_VERSION}
    SOVERSION ${WAFT_ABI}
    INSTALL_RPATH "$ORIGIN"
    EXPORT_NAME ${export_name}
    LINK_DEPENDS ${map})
  target_link_options(${target} PRIVATE -Wl,--version-script=${map})
  if(NOT WAFT_SANITIZE)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()

  install(TARGETS ${target} EXPORT waftTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  if(NOT WAFT_SANITIZE)
    _waft_static_library(${target} ${arg_NAME} ${arg_INTERNAL})
  endif()
  install(FILES ${arg_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/waft)

  list(JOIN arg_REQUIRES ", " pc_requires)
  list(JOIN arg_REQUIRES_PRIVATE ", " pc_requires_private)
  list(JOIN arg_LIBS_PRIVATE " " pc_libs_private)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/library.pc.in
    ${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# waft_install_config(): after the last waft_install_library.
function(waft_install_config)
  include(CMakePackageConfigHelpers)
  set(destination ${CMAKE_INSTALL_LIBDIR}/cmake/waft)
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/waftConfig.cmake.in
    ${CMAKE_BINARY_DIR}/waftConfig.cmake INSTALL_DESTINATION ${destination})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/waftConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/waftConfig.cmake ${CMAKE_BINARY_DIR}/waftConfigVersion.cmake
    DESTINATION ${destination})
  install(EXPORT waftTargets NAMESPACE waft:: DESTINATION ${destination})
endfunction()
