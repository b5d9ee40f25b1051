%% Run scenarios under OTP's own supervisor and write down what happened.
%%
%% main/0 reads lines from standard input, each "Scenarios<TAB>Traces": two file names. The first
%% holds scenarios, one term each; into the second goes one trace term for each of them, in the same
%% order; then "done" is printed. The terms are described in scenarios.py, which writes and reads them.
%%
%% Nothing here sleeps until things are probably over. After each event the tree is walked until no
%% supervisor lists a dead or a restarting child, which is when no exit waits to be decided on: an exit
%% whose signal is still on its way has a dead process that its supervisor still lists.
-module(otp_runner).
-export([main/0, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([start_supervisor/1, start_worker/3, start_dynamic/3]).

-define(PATIENCE, 20000).
-define(PERIOD, 3600).

main() ->
    logger:set_primary_config(level, none),
    [ets:new(Table, [named_table, public, ordered_set]) || Table <- [names, pids, starts, log]],
    serve().

serve() ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            [Source, Target] = string:split(string:trim(Line), "\t"),
            {ok, Scenarios} = file:consult(Source),
            {ok, Out} = file:open(Target, [write, {delayed_write, 65536, 1000}]),
            [io:format(Out, "~w.~n", [isolated(Scenario)]) || Scenario <- Scenarios],
            ok = file:close(Out),
            io:put_chars("done\n"),
            serve()
    end.

%% Each scenario has a process of its own, so that nothing of one reaches the next.
isolated(Scenario) ->
    [ets:delete_all_objects(Table) || Table <- [names, pids, starts, log]],
    {Pid, Mon} = spawn_monitor(fun() -> exit({trace, run(Scenario)}) end),
    receive
        {'DOWN', Mon, process, Pid, {trace, Trace}} -> Trace;
        {'DOWN', Mon, process, Pid, Reason} -> {runner_failed, Reason}
    after ?PATIENCE * 2 ->
        exit(Pid, kill),
        receive {'DOWN', Mon, process, Pid, _} -> {runner_failed, timeout} end
    end.

run({scenario, Tree, Events}) ->
    process_flag(trap_exit, true),
    Top = element(2, Tree),
    Result = case start_supervisor(Tree) of
        {ok, _} -> ok;
        ignore -> ignored;
        {error, _} -> failed
    end,
    {First, Watched} = observe(Top, [Result], #{}),
    {Trace, _} = lists:foldl(
        fun(Event, {Seen, Watched0}) ->
            {Step, Watched1} = observe(Top, perform(Event), Watched0),
            {[Step | Seen], Watched1}
        end, {[First], Watched}, Events ++ [{stop, Top}]),
    lists:reverse(Trace).

%% --- events ---

perform({exit, Name, Reason}) ->
    [end_worker(Name, Reason)];
perform({stop, Name}) ->
    [end_supervisor(Name)];
perform({call, Verb, Name, Argument}) ->
    [call(Verb, Name, Argument)];
perform({held, Name, Steps}) ->
    case live(Name) of
        undefined ->
            [dead || _ <- Steps];
        Pid ->
            ok = sys:suspend(Pid),
            Results = [held_step(Step, Name, Pid) || Step <- Steps],
            ok = sys:resume(Pid),
            [collect(Result) || Result <- Results]
    end.

%% An exit below a held supervisor is over when all that could be decided on without it has been.
held_step({exit, Worker, Reason}, Held, HeldPid) ->
    case live(Worker) of
        undefined ->
            dead;
        Pid ->
            Above = parent(Worker),
            ok = end_worker(Worker, Reason),
            climb(Above, Pid, Held, HeldPid),
            ok
    end;
held_step({call, Verb, Name, Argument}, _Held, HeldPid) ->
    {message_queue_len, Before} = process_info(HeldPid, message_queue_len),
    {Pid, Mon} = spawn_monitor(fun() -> exit({result, call(Verb, Name, Argument)}) end),
    wait_until(fun() ->
        {message_queue_len, Now} = process_info(HeldPid, message_queue_len),
        Now > Before orelse not is_process_alive(Pid)
    end),
    {waiting, Pid, Mon}.

collect({waiting, Pid, Mon}) ->
    receive
        {'DOWN', Mon, process, Pid, {result, Result}} -> Result
    after ?PATIENCE ->
        exit(hang)
    end;
collect(Result) ->
    Result.

climb(Held, Below, Held, HeldPid) ->
    wait_until(fun() ->
        {messages, Messages} = process_info(HeldPid, messages),
        lists:keymember(Below, 2, [M || M <- Messages, element(1, M) =:= 'EXIT'])
    end);
climb(Name, _Below, Held, HeldPid) ->
    [{_, Pid}] = ets:lookup(names, Name),
    Walked = wait_for(fun() ->
        case is_process_alive(Pid) of
            false -> over;
            true -> case walk(Name, Pid) of busy -> busy; _ -> rest end
        end
    end),
    case Walked of
        rest -> ok;
        over -> climb(parent(Name), Pid, Held, HeldPid)
    end.

end_worker(Name, Reason) ->
    case live(Name) of
        undefined ->
            dead;
        Pid ->
            Mon = monitor(process, Pid),
            case Reason of
                kill -> exit(Pid, kill);
                _ -> gen_server:cast(Pid, {leave, Reason})
            end,
            receive {'DOWN', Mon, process, Pid, _} -> ok end
    end.

end_supervisor(Name) ->
    case live(Name) of
        undefined -> dead;
        Pid -> gen_server:stop(Pid, normal, infinity), ok
    end.

call(Verb, Name, Argument) ->
    case live(Name) of
        undefined -> dead;
        Pid -> try answer(ask(Verb, Pid, Argument)) catch exit:_ -> dead end
    end.

ask(start_child, Pid, Node) ->
    supervisor:start_child(Pid, child_spec(Node, node_above(Pid)));
ask(start_dynamic, Pid, {Name, Outcomes}) ->
    supervisor:start_child(Pid, [Name, Outcomes]);
ask(terminate_dynamic, Pid, Name) ->
    case ets:lookup(names, Name) of
        [] -> {error, not_found};
        [{_, Child}] -> supervisor:terminate_child(Pid, Child)
    end;
ask(terminate_child, Pid, Id) -> supervisor:terminate_child(Pid, Id);
ask(restart_child, Pid, Id) -> supervisor:restart_child(Pid, Id);
ask(delete_child, Pid, Id) -> supervisor:delete_child(Pid, Id);
ask(which_children, Pid, _) -> {which, which(Pid)};
ask(count_dynamic, Pid, _) -> {count, count(Pid)};
ask(count_children, Pid, _) -> {count, count(Pid)}.

answer(ok) -> ok;
answer({which, Which}) -> Which;
answer({count, Count}) -> Count;
answer({ok, undefined}) -> ignored;
answer({ok, Pid}) when is_pid(Pid) -> ok;
answer({error, {already_started, _}}) -> already_started;
answer({error, {bad_combination, _}}) -> bad_spec;
answer({error, Kind})
  when Kind =:= already_present; Kind =:= not_found; Kind =:= running; Kind =:= restarting ->
    Kind;
answer({error, _}) -> failed.

%% --- what is seen at rest ---

observe(Top, Results, Watched) ->
    Snapshot = wait_for(fun() ->
        case live(Top) of
            undefined -> [];
            Pid -> walk(Top, Pid)
        end
    end),
    {Ends, Left} = ends(Watched),
    Log = [Entry || {_, Entry} <- ets:tab2list(log)],
    ets:delete_all_objects(log),
    Named = [{Name, Which, Count} || {Name, _, Which, Count} <- Snapshot],
    {{Results, Log, Ends, Named}, watch(Snapshot, Left)}.

%% How each supervisor that ran when it was last at rest has ended.
ends(Watched) ->
    Over = [{Name, Pid, Mon} || {Pid, {Name, Mon}} <- maps:to_list(Watched), not is_process_alive(Pid)],
    Ends = [receive {'DOWN', Mon, process, _, Reason} -> {Name, kind(Reason)} end || {Name, _, Mon} <- Over],
    {lists:sort(Ends), maps:without([Pid || {_, Pid, _} <- Over], Watched)}.

watch(Snapshot, Watched) ->
    lists:foldl(fun({Name, Pid, _, _}, Seen) ->
        case maps:is_key(Pid, Seen) of
            true -> Seen;
            false -> Seen#{Pid => {Name, monitor(process, Pid)}}
        end
    end, Watched, Snapshot).

kind(normal) -> normal;
kind(shutdown) -> shutdown;
kind({shutdown, _}) -> shutdown;
kind(killed) -> killed;
kind(_) -> crash.

%% The supervisors of a subtree, top first, or busy.
walk(Name, Pid) ->
    try
        Children = supervisor:which_children(Pid),
        case lists:any(fun is_unsettled/1, Children) of
            true -> busy;
            false -> walk_below(Children, [{Name, Pid, named(Pid, Children), count(Pid)}])
        end
    catch
        exit:_ -> busy
    end.

walk_below([], Seen) ->
    Seen;
walk_below([{Id, Pid, supervisor, _} | Others], Seen) when is_pid(Pid) ->
    case walk(Id, Pid) of
        busy -> busy;
        Below -> walk_below(Others, Seen ++ Below)
    end;
walk_below([_ | Others], Seen) ->
    walk_below(Others, Seen).

is_unsettled({_, restarting, _, _}) -> true;
is_unsettled({_, undefined, _, _}) -> false;
is_unsettled({_, Pid, _, _}) -> not is_process_alive(Pid).

which(Pid) ->
    named(Pid, supervisor:which_children(Pid)).

%% The children of a dynamic supervisor have no order.
named(Pid, Children) ->
    case ets:lookup(pids, Pid) of
        [{_, _, {dyn, _, _, _, _, _, _}}] -> lists:sort([state(Child) || Child <- Children]);
        _ -> [state(Child) || Child <- Children]
    end.

state({undefined, restarting, _, _}) -> {any, restarting};
state({undefined, Pid, _, _}) -> [{_, Name, _}] = ets:lookup(pids, Pid), {Name, up};
state({Id, Pid, _, _}) when is_pid(Pid) -> {Id, up};
state({Id, Other, _, _}) -> {Id, Other}.

count(Pid) ->
    [Count || {_, Count} <- supervisor:count_children(Pid)].

live(Name) ->
    case ets:lookup(names, Name) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> Pid; false -> undefined end;
        [] -> undefined
    end.

%% Which supervisor a worker last ran below.
parent(Name) ->
    [{_, Pid}] = ets:lookup(names, Name),
    [{_, _, {below, Above}}] = ets:lookup(starts, {parent, Name, Pid}),
    Above.

node_above(Pid) ->
    [{_, Name, _}] = ets:lookup(pids, Pid),
    Name.

wait_until(Condition) ->
    wait_for(fun() -> case Condition() of true -> ok; false -> busy end end).

wait_for(Look) ->
    wait_for(Look, erlang:monotonic_time(millisecond) + ?PATIENCE).

wait_for(Look, Due) ->
    case Look() of
        busy ->
            erlang:monotonic_time(millisecond) < Due orelse exit(no_rest),
            erlang:yield(),
            wait_for(Look, Due);
        Seen ->
            Seen
    end.

%% --- children ---

child_spec({worker, Name, Restart, Significant, Outcomes, Shutdown}, Above) ->
    #{id => Name, start => {?MODULE, start_worker, [Above, Name, Outcomes]}, restart => Restart,
      significant => Significant, shutdown => shutdown(Shutdown)};
child_spec(Node, Above) ->
    Name = element(2, Node),
    ets:insert(starts, {{parent, Name}, Above}),
    #{id => Name, start => {?MODULE, start_supervisor, [Node]}, restart => element(5, Node),
      significant => element(6, Node), type => supervisor}.

shutdown(wait) -> 5000;
shutdown(brutal) -> brutal_kill.

start_supervisor(Node) ->
    supervisor:start_link(?MODULE, Node).

start_worker(Above, Name, Outcomes) ->
    gen_server:start_link(?MODULE, {start, Above, Name, Outcomes}, []).

start_dynamic(Above, Name, Outcomes) ->
    start_worker(Above, Name, Outcomes).

init({start, Above, Name, Outcomes}) ->
    process_flag(trap_exit, true),
    case outcome(Name, Outcomes) of
        ok ->
            register_start(Name, Above, worker),
            note({start, Name}),
            {ok, Name};
        ignore ->
            note({ignore, Name}),
            ignore;
        fail ->
            note({startfail, Name}),
            {stop, boom}
    end;
init(Node) ->
    Name = element(2, Node),
    Above = case ets:lookup(starts, {parent, Name}) of [{_, Found}] -> Found; [] -> none end,
    case outcome(Name, element(7, Node)) of
        ok ->
            register_start(Name, Above, Node),
            {ok, flags_and_children(Node)};
        ignore ->
            note({ignore, Name}),
            ignore;
        fail ->
            note({startfail, Name}),
            exit(boom)
    end.

flags_and_children({sup, Name, {Strategy, Auto}, Intensity, _, _, _, Children}) ->
    {#{strategy => Strategy, intensity => Intensity, period => ?PERIOD, auto_shutdown => Auto},
     [child_spec(Child, Name) || Child <- Children]};
flags_and_children({dyn, Name, {Restart, Shutdown}, Intensity, _, _, _}) ->
    {#{strategy => simple_one_for_one, intensity => Intensity, period => ?PERIOD},
     [#{id => any, start => {?MODULE, start_dynamic, [Name]}, restart => Restart,
        shutdown => shutdown(Shutdown)}]}.

outcome(Name, Outcomes) ->
    Number = ets:update_counter(starts, Name, 1, {Name, 0}),
    case Number =< length(Outcomes) of
        true -> lists:nth(Number, Outcomes);
        false -> ok
    end.

register_start(Name, Above, Kind) ->
    ets:insert(names, {Name, self()}),
    ets:insert(pids, {self(), Name, Kind}),
    ets:insert(starts, {{parent, Name, self()}, none, {below, Above}}).

note(Entry) ->
    ets:insert(log, {erlang:unique_integer([monotonic]), Entry}).

handle_call(_, _, Name) -> {reply, ok, Name}.
handle_cast({leave, Reason}, Name) -> {stop, Reason, Name}.
handle_info(_, Name) -> {noreply, Name}.
terminate(Reason, Name) -> note({stop, Name, Reason}).
