# SPDX-License-Identifier: MIT
# Install rules: headers, CMake package, pkg-config file. All of it is independent of the architecture, hence share/.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(weakly_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/weakly)
set(weakly_pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)

install(TARGETS weakly EXPORT weaklyTargets FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT weaklyTargets NAMESPACE weakly:: DESTINATION ${weakly_package_dir})

configure_package_config_file(cmake/weaklyConfig.cmake.in ${PROJECT_BINARY_DIR}/weaklyConfig.cmake
                              INSTALL_DESTINATION ${weakly_package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor release may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weaklyConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/weaklyConfig.cmake ${PROJECT_BINARY_DIR}/weaklyConfigVersion.cmake
        DESTINATION ${weakly_package_dir})

# Relative to the .pc file, so that `cmake --install --prefix` and a moved tree stay right.
cmake_path(IS_ABSOLUTE weakly_pkgconfig_dir weakly_pkgconfig_dir_is_absolute)
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_INCLUDEDIR weakly_includedir_is_absolute)
if(weakly_pkgconfig_dir_is_absolute)
  set(weakly_pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${weakly_pkgconfig_dir}
             OUTPUT_VARIABLE weakly_pc_prefix)
  string(REGEX REPLACE "/$" "" weakly_pc_prefix "${weakly_pc_prefix}")
  string(PREPEND weakly_pc_prefix "\${pcfiledir}/")
endif()
if(weakly_includedir_is_absolute)
  set(weakly_pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
else()
  set(weakly_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/weakly.pc.in ${PROJECT_BINARY_DIR}/weakly.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weakly.pc DESTINATION ${weakly_pkgconfig_dir})
