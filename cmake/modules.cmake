# A module is a folder with one public header of its own name; these functions keep its CMakeLists to a few lines.

# Adds each folder that has a CMakeLists.txt; with NX_ONLY just those it lists (to work on one module).
function(nx_add_folders)
    foreach(folder ${ARGN})
        if(NX_ONLY AND NOT folder IN_LIST NX_ONLY)
            continue()
        endif()
        if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
            add_subdirectory(${CMAKE_SOURCE_DIR}/${folder} ${CMAKE_BINARY_DIR}/${folder})
        endif()
    endforeach()
endfunction()

# nx_module(spool SOURCES spool.c segment.c DEPS loop base): the static library nx_<name>.
function(nx_module name)
    cmake_parse_arguments(M "" "" "SOURCES;DEPS;PRIVATE" ${ARGN})
    add_library(nx_${name} STATIC ${M_SOURCES})
    target_link_libraries(nx_${name} PUBLIC nx_flags)
    nx_link(nx_${name} PUBLIC ${M_DEPS})
    nx_link(nx_${name} PRIVATE ${M_PRIVATE})
endfunction()

# pkg::uv and -lm are taken as they are, other names are modules.
function(nx_link target scope)
    foreach(dep ${ARGN})
        if(dep MATCHES "::|^-")
            target_link_libraries(${target} ${scope} ${dep})
        else()
            target_link_libraries(${target} ${scope} nx_${dep})
        endif()
    endforeach()
endfunction()

# nx_test(spool_test SOURCES segment_test.c DEPS spool): a cmocka executable run by ctest, label unit. One file is one
# executable with its own main().
function(nx_test name)
    cmake_parse_arguments(T "" "LABEL" "SOURCES;DEPS;ARGS" ${ARGN})
    if(NOT BUILD_TESTING)
        return()
    endif()
    if(NOT T_LABEL)
        set(T_LABEL unit)
    endif()
    add_executable(${name} ${T_SOURCES})
    target_link_libraries(${name} PRIVATE nx_flags pkg::cmocka)
    target_compile_definitions(${name} PRIVATE NX_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    nx_link(${name} PRIVATE ${T_DEPS})
    add_test(NAME ${name} COMMAND ${name} ${T_ARGS})
    set_tests_properties(${name} PROPERTIES LABELS ${T_LABEL} TIMEOUT 120)
endfunction()

# The modules that the first line of a program names,  /* bench: model base */  or  /* fuzz: model base */, and whether
# all of them are built.
function(nx_modules_named_in source deps ready)
    file(STRINGS ${source} head LIMIT_COUNT 1)
    string(REGEX MATCH "(bench|fuzz): ([a-z0-9_ ]+)" _ "${head}")
    string(REPLACE " " ";" names "${CMAKE_MATCH_2}")
    list(FILTER names EXCLUDE REGEX "^$")
    set(${deps} ${names} PARENT_SCOPE)
    set(${ready} TRUE PARENT_SCOPE)
    foreach(name ${names})
        if(NOT TARGET nx_${name})
            set(${ready} FALSE PARENT_SCOPE)
        endif()
    endforeach()
endfunction()
