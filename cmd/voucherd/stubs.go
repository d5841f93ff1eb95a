package main

type demoCmd struct{}

func (*demoCmd) Run() error { return nil }

type listCmd struct{}

func (*listCmd) Run() error { return nil }

type retryCmd struct{}

func (*retryCmd) Run() error { return nil }

type discardCmd struct{}

func (*discardCmd) Run() error { return nil }

type lanesCmd struct{}

func (*lanesCmd) Run() error { return nil }

type exportCmd struct{}

func (*exportCmd) Run() error { return nil }

type signCmd struct{}

func (*signCmd) Run() error { return nil }
