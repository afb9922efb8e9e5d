"""Files for phones: conversion, running and measuring them."""
